variable "name" {
  description = "How names begin."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the instances, one a zone."
  type        = list(string)
}

variable "group_ids" {
  description = "Security groups by what they are of."
  type        = map(string)
}

variable "image_id" {
  description = "Machine image, Debian 12."
  type        = string
}

variable "bundle" {
  description = "The bundle that instances install from."
  type = object({
    bucket = string
    key    = string
    sha256 = string
  })
}

variable "settings" {
  description = "What instances are told about the place they are in; no secret."
  type        = any
}

variable "tags" {
  description = "Tags of the instances."
  type        = map(string)
}

variable "fleets" {
  description = "Kind and number of instances of web (pages, identity) and inference (readings)."
  type = map(object({
    instance_type = string
    size = object({
      min = number
      max = number
    })
  }))

  validation {
    condition     = toset(keys(var.fleets)) == toset(["web", "inference"])
    error_message = "Give web and inference."
  }
}

variable "instance_profiles" {
  description = "What instances may do in AWS, by kind."
  type        = map(string)
}

variable "keep" {
  description = "Whether the load balancer is protected from being deleted."
  type        = bool
}
