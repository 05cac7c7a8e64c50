variable "bundle" {
  description = "The bundle's file, sightline-VERSION.tar.gz."
  type        = string

  validation {
    condition     = can(regex("sightline-[^/]+\\.tar\\.gz$", var.bundle)) && fileexists(var.bundle)
    error_message = "There is no such bundle: make it with `make release`."
  }
}

variable "bucket" {
  description = "Bucket that it is put into."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that it is encrypted with."
  type        = string
}
