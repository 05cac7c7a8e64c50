variable "role" {
  description = "What the instance is to be."
  type        = string

  validation {
    condition     = contains(["edge", "web", "inference", "trainer", "monitoring"], var.role)
    error_message = "There are edge, web, inference, trainer and monitoring."
  }
}

variable "region" {
  description = "Region that the instance is in."
  type        = string
}

variable "bundle" {
  description = "The bundle to install from, and its digest."
  type = object({
    bucket = string
    key    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.bundle.sha256))
    error_message = "A SHA-256 digest has 64 hexadecimal digits."
  }
}

variable "settings" {
  description = "What differs between places: names, addresses, buckets. Not a secret among them."
  type        = any
}

variable "more" {
  description = "Bundles that are unpacked over it: what one kind of instance needs alone."
  type = list(object({
    bucket = string
    key    = string
    sha256 = string
  }))
  default = []
}
