variable "region" {
  description = "Region of AWS, such as eu-west-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Give a region, such as eu-west-1."
  }
}

variable "domain" {
  description = "The name that people type, such as sightline.example.org."
  type        = string
}

variable "zone" {
  description = "Public hosted zone in Route 53 that the domain lies in, such as example.org."
  type        = string
}

variable "size" {
  description = "How large it is: small, medium or large."
  type        = string
  default     = "small"
}

variable "bundle" {
  description = "The bundle that `make release` made, sightline-VERSION.tar.gz."
  type        = string
}

variable "image_id" {
  description = "Machine image of Debian 12 for x86-64; null: the newest one."
  type        = string
  default     = null
}

variable "options" {
  description = "Settings of the services by their full names; no secret."
  type        = map(string)
  default     = {}
}

variable "alert_addresses" {
  description = "E-mail addresses that alerts go to."
  type        = list(string)
  default     = []
}

variable "alert_webhooks" {
  description = "Webhooks that alerts go to, by page, ticket and watchdog; kept in Secrets Manager and in no state."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "alert_webhooks_version" {
  description = "Raise it with each change of alert_webhooks; 0: what is in Secrets Manager stays as it is."
  type        = number
  default     = 0
}

variable "trainer" {
  description = "The machine that trains; modules/sightline/variables.tf describes it."
  type = object({
    instance_types = optional(list(string), ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"])
    image_id       = optional(string)
    bundle         = optional(string)
    disk_gb        = optional(number, 200)
    jobs = optional(list(object({
      disease = string
      data    = string
      recipe  = optional(string)
      epochs  = optional(number)
      batch   = optional(string)
    })), [])
    schedule       = optional(string)
    hours          = optional(number, 8)
    budget_dollars = optional(number, 200)
  })
  default = {}
}

variable "redis" {
  description = "What keeps readings: memorydb, which is durable, or elasticache, which is not and starts sooner."
  type        = string
  default     = "memorydb"
}
