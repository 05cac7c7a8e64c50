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

variable "public_subnet_ids" {
  description = "Public subnets of the load balancer, one a zone."
  type        = list(string)
}

variable "instance_type" {
  description = "Kind of instance."
  type        = string
}

variable "size" {
  description = "How many instances there are at least and at most."
  type = object({
    min = number
    max = number
  })
}

variable "instance_profile" {
  description = "What the instances may do in AWS."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of the public name."
  type        = string
}

variable "keep" {
  description = "Whether the load balancer is protected from being deleted."
  type        = bool
}
