# ---- What an environment has to say -------------------------------------------------------------

variable "name" {
  description = "What this installation is called; names of everything begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "Three to twenty small letters, digits and hyphens, a letter first."
  }
}

variable "domain" {
  description = "The name that people type, such as sightline.example.org."
  type        = string
}

variable "zone" {
  description = "Public hosted zone in Route 53 that the domain lies in, such as example.org."
  type        = string

  validation {
    condition     = var.domain == var.zone || endswith(var.domain, ".${var.zone}")
    error_message = "The domain has to lie in the zone."
  }
}

variable "size" {
  description = "How large it is: small (one instance a kind), medium or large; modules/sightline/sizes.tf says what that means."
  type        = string

  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "Say small, medium or large."
  }
}

variable "bundle" {
  description = "The bundle that `make release` made, sightline-VERSION.tar.gz."
  type        = string
}

# ---- What it may say ----------------------------------------------------------------------------

variable "redis" {
  description = "What keeps readings: memorydb, which is durable, or elasticache, which can lose what it has just answered."
  type        = string
  default     = "memorydb"
}

variable "redis_node_type" {
  description = "Size of Redis' nodes, in place of the one that goes with the size."
  type        = string
  default     = null
}

variable "redis_snapshot" {
  description = "Snapshot of MemoryDB that a new installation begins with, to restore one; null: it begins empty."
  type        = string
  default     = null
}

variable "keep" {
  description = "Whether data outlives a mistake: load balancers cannot be deleted, buckets are not emptied, secrets can be brought back for 30 days, Redis leaves a last snapshot. False for what is to be destroyed without a trace."
  type        = bool
  default     = true
}

variable "image_id" {
  description = "Machine image of Debian 12 for x86-64; null: the newest one, so that a new one is rolled out at the next apply."
  type        = string
  default     = null

  validation {
    condition     = var.image_id == null || can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "An image's id begins with ami-."
  }
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zones" {
  description = "How many availability zones to be in."
  type        = number
  default     = 2

  validation {
    condition     = var.zones >= 2 && var.zones <= 4
    error_message = "Give 2 to 4."
  }
}

variable "nat" {
  description = "NAT gateways: none, one, or each_zone. Instances need none unless internet_for names them."
  type        = string
  default     = "one"
}

variable "internet_for" {
  description = "Which instances may open connections to the internet (443), and why: {web = \"Sign-in at our provider\"}. Nobody else does."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.internet_for) == 0 || var.nat != "none"
    error_message = "Without a NAT gateway nobody can be let out."
  }
}

variable "options" {
  description = "Settings of the services by their full names, such as {SIGHTLINE_WEB_READ_FIRST = \"always\"}; docs/operations.md lists them. No secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.options) : can(regex("^SIGHTLINE_(GATEWAY|GATEWAY_IDENTITY|INFERENCE|WEB|TRAINER)_[A-Z_]+$", name))])
    error_message = "A setting's name begins with SIGHTLINE_ and the service's name."
  }

  validation {
    condition     = alltrue([for name in keys(var.options) : !can(regex("(SECRET|PASSWORD|REDIS_URL)", name))])
    error_message = "A secret does not belong into the state; put it into Secrets Manager."
  }

  validation {
    condition     = alltrue([for value in values(var.options) : !can(regex("[\\n\\r']", value))])
    error_message = "A value is one line without single quotes."
  }
}

variable "alert_addresses" {
  description = "E-mail addresses that alerts go to; each has to be confirmed once."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for one in var.alert_addresses : can(regex("^[^@ ]+@[^@ ]+$", one))])
    error_message = "Give e-mail addresses."
  }
}

variable "alert_webhooks" {
  description = "Webhooks that alerts go to: page (wakes somebody), ticket (waits for the morning), watchdog (told every minute that all works). They go to Secrets Manager and into no state; give them with a version."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = alltrue([for name in keys(var.alert_webhooks) : contains(["page", "ticket", "watchdog"], name)])
    error_message = "Give page, ticket, watchdog, or some of them."
  }

  validation {
    condition     = alltrue([for one in values(var.alert_webhooks) : can(regex("^https://[A-Za-z0-9:/?#@!$&()*+,;=._~%-]+$", one))])
    error_message = "A webhook is an https address."
  }
}

variable "alert_webhooks_version" {
  description = "Raise it with each change of alert_webhooks; 0: what is in Secrets Manager stays as it is."
  type        = number
  default     = 0

  validation {
    condition     = var.alert_webhooks_version == 0 || var.nat != "none"
    error_message = "Without a NAT gateway no webhook can be reached."
  }
}

variable "log_days" {
  description = "Days that flow logs are kept."
  type        = number
  default     = 365
}

variable "backup_days" {
  description = "Days that daily snapshots of Redis are kept."
  type        = number
  default     = 14
}

variable "trainer" {
  description = "The machine that trains: its kinds of instance, image with the GPU's driver, bundle (sightline-VERSION-trainer.tar.gz), jobs (a recipe trains and publishes, a batch reads every image of data and posts the readings), schedule (cron, UTC), hours it may take and dollars a month before somebody is told."
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

  validation {
    condition     = length(var.trainer.jobs) == 0 || var.trainer.bundle != null
    error_message = "Who trains needs the trainer's bundle: make it with `make release TRAINER=1`."
  }
}
