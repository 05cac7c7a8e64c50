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

variable "more" {
  description = "What the trainer needs besides, unpacked over that bundle."
  type = list(object({
    bucket = string
    key    = string
    sha256 = string
  }))
}

variable "settings" {
  description = "What instances are told about the place they are in; no secret."
  type        = any
}

variable "tags" {
  description = "Tags of the instances."
  type        = map(string)
}

variable "instance_types" {
  description = "Kinds of instance with an NVIDIA GPU that will do, the best first."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) >= 1 && alltrue([for one in var.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9]+$", one))])
    error_message = "Give at least one type, such as g5.xlarge."
  }
}

variable "disk_gb" {
  description = "Size of the disk in GB: data sets, preprocessed images and runs."
  type        = number

  validation {
    condition     = var.disk_gb >= 30 && var.disk_gb <= 4000
    error_message = "Give 30 to 4000."
  }
}

variable "instance_profile" {
  description = "What it may do in AWS."
  type        = string
}

variable "jobs" {
  description = "What a start does, one after the other; data is a prefix in the bucket of data sets. With a recipe it trains and publishes; with a batch it reads every image by the live model and posts the readings."
  type = list(object({
    disease = string
    data    = string
    recipe  = optional(string)
    epochs  = optional(number)
    batch   = optional(string)
  }))

  validation {
    condition = alltrue([
      for job in var.jobs : can(regex("^[a-z][a-z0-9_]*$", job.disease)) && can(regex("^[A-Za-z0-9][A-Za-z0-9/_.-]*$", job.data)) &&
      (job.recipe == null ? can(regex("^[A-Za-z0-9][A-Za-z0-9 ,._-]*$", job.batch)) : can(regex("^[a-z0-9][a-z0-9._-]*$", job.recipe)) && job.batch == null) &&
      coalesce(job.epochs, 1) >= 1
    ])
    error_message = "A job has a disease of the catalogue, a prefix and either a recipe or a batch's name, such as {disease = \"chest_xray_pneumonia\", recipe = \"small\", data = \"chest/2026-11\"}."
  }
}

variable "schedule" {
  description = "When to train by itself, as cron says it, in UTC; null: only when somebody starts it."
  type        = string

  validation {
    condition     = var.schedule == null || can(regex("^(\\S+ ){4}\\S+$", var.schedule))
    error_message = "Give five fields, such as \"0 22 * * 6\", or null."
  }
}

variable "hours" {
  description = "How long a training may take; then the instance ends itself, and an hour later an alarm ends it."
  type        = number

  validation {
    condition     = var.hours >= 1 && var.hours <= 23 && floor(var.hours) == var.hours
    error_message = "Give whole hours, 1 to 23."
  }
}

variable "budget_dollars" {
  description = "What training may cost a month before somebody is told."
  type        = number

  validation {
    condition     = var.budget_dollars > 0
    error_message = "Give more than 0."
  }
}

variable "topic_arn" {
  description = "Topic that is told."
  type        = string
}
