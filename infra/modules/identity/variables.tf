variable "name" {
  description = "How the names of the roles begin."
  type        = string
}

variable "bucket_arns" {
  description = "The buckets by what they hold."
  type = object({
    bundles  = string
    models   = string
    datasets = string
    archive  = string
    images   = string
  })
}

variable "secret_arns" {
  description = "Places of the secrets by name."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key of secrets and buckets."
  type        = string
}

variable "redis_user_arns" {
  description = "The users of Redis, which the identity service's instances open."
  type        = list(string)
}

variable "topic_arn" {
  description = "Topic that alerts are published to."
  type        = string
}
