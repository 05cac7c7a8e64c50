variable "name" {
  description = "How names begin."
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

variable "instance_type" {
  description = "Kind of instance."
  type        = string
}

variable "disk_gb" {
  description = "Size of its disk in GB; figures of 15 days of ten instances take about 5."
  type        = number
}

variable "instance_profile" {
  description = "What it may do in AWS."
  type        = string
}

variable "grafana_target_group_arn" {
  description = "Target group that Nginx reaches Grafana by."
  type        = string
}
