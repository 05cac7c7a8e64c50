variable "name" {
  description = "How names begin."
  type        = string
}

variable "role" {
  description = "What the instances are: edge, web, inference or monitoring."
  type        = string
}

variable "image_id" {
  description = "Machine image, Debian 12."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "An image's id begins with ami-."
  }
}

variable "instance_type" {
  description = "Kind of instance; x86-64, because the bundle is."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9]+$", var.instance_type)) && !can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type))
    error_message = "Give an x86-64 type, such as m7i.large: the bundle's packages are for x86-64."
  }
}

variable "size" {
  description = "How many instances there are at least and at most."
  type = object({
    min = number
    max = number
  })

  validation {
    condition     = var.size.min >= 1 && var.size.max >= var.size.min && var.size.max <= 100
    error_message = "min is 1 or more, max is min or more, and 100 at most."
  }
}

variable "load_percent" {
  description = "Average load of the processors that the number of instances is kept at."
  type        = number
  default     = 60

  validation {
    condition     = var.load_percent >= 10 && var.load_percent <= 90
    error_message = "Give 10 to 90."
  }
}

variable "disk_gb" {
  description = "Size of an instance's disk in GB."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 10 && var.disk_gb <= 2000
    error_message = "Give 10 to 2000."
  }
}

variable "subnet_ids" {
  description = "Private subnets to be in, one a zone."
  type        = list(string)
}

variable "group_id" {
  description = "Their security group."
  type        = string
}

variable "instance_profile" {
  description = "What they may do in AWS."
  type        = string
}

variable "target_group_arns" {
  description = "Target groups that they are in."
  type        = list(string)
  default     = []
}

variable "checked_by_balancer" {
  description = "Whether an instance that the load balancer calls unhealthy is replaced."
  type        = bool
  default     = true
}

variable "bundle" {
  description = "The bundle that they install from."
  type = object({
    bucket = string
    key    = string
    sha256 = string
  })
}

variable "settings" {
  description = "What they are told about the place they are in; no secret."
  type        = any
}

variable "tags" {
  description = "Tags of the instances."
  type        = map(string)
}
