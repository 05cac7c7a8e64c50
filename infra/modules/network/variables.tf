variable "name" {
  description = "What everything here is called, and how its names begin."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC: a /16 to /20 of private ones, apart from those of networks it will be joined to."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20
    error_message = "Give a network of IPv4 with 16 to 20 bits, such as 10.42.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones to be in; two, so that one may fail, or more."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(var.zones) == length(distinct(var.zones))
    error_message = "Give two to four different zones."
  }
}

variable "nat" {
  description = "NAT gateways: none (nobody inside may go out), one, or each_zone (a zone may fail)."
  type        = string

  validation {
    condition     = contains(["none", "one", "each_zone"], var.nat)
    error_message = "Say none, one or each_zone."
  }
}

variable "endpoints" {
  description = "AWS services that are reached inside the VPC, as their endpoint names end."
  type        = list(string)
}

variable "endpoints_group_id" {
  description = "Security group of those endpoints."
  type        = string
}

variable "bucket_arns" {
  description = "The only buckets that can be reached through the S3 endpoint."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string
}

variable "log_days" {
  description = "Days that flow logs are kept."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731, 1096, 1827, 2192, 2922, 3288, 3653], var.log_days)
    error_message = "CloudWatch keeps logs for 30, 60, 90, 180, 365, 400, 731, 1096, 1827, 2192, 2922, 3288 or 3653 days."
  }
}
