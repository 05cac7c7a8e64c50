variable "bundle" {
  description = "The bundle's file, sightline-VERSION.tar.gz."
  type        = string

  validation {
    condition     = can(regex("sightline-[^/]+\\.tar\\.gz$", var.bundle)) && fileexists(var.bundle)
    error_message = "There is no such bundle: make it with `make release`."
  }
}

variable "trainer_bundle" {
  description = "What the trainer needs besides, sightline-VERSION-trainer.tar.gz; null: nothing is trained here."
  type        = string

  validation {
    condition     = var.trainer_bundle == null ? true : (can(regex("sightline-[^/]+-trainer\\.tar\\.gz$", var.trainer_bundle)) && fileexists(var.trainer_bundle))
    error_message = "There is no such bundle: make it with `make release TRAINER=1`."
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
