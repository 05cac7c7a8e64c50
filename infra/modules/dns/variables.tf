variable "name" {
  description = "How the zone inside begins."
  type        = string
}

variable "zone" {
  description = "Public hosted zone that the domain lies in; it is there already."
  type        = string
}

variable "domain" {
  description = "The name that people type."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "Give a host name in small letters, such as sightline.example.org."
  }
}

variable "vpc_id" {
  description = "VPC that the names inside count in."
  type        = string
}

variable "edge" {
  description = "DNS name of the public load balancer, and its zone."
  type = object({
    dns_name = string
    zone_id  = string
  })
}

variable "services" {
  description = "DNS name of the load balancer inside, and its zone."
  type = object({
    dns_name = string
    zone_id  = string
  })
}
