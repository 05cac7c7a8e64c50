variable "name" {
  description = "How names begin; short, because Redis' names are."
  type        = string

  validation {
    condition     = length(var.name) <= 30
    error_message = "Thirty letters at most."
  }
}

variable "redis" {
  description = "What keeps readings: memorydb, which is durable, or elasticache, which can lose what it has just answered."
  type        = string

  validation {
    condition     = contains(["memorydb", "elasticache"], var.redis)
    error_message = "Say memorydb or elasticache."
  }
}

variable "node_type" {
  description = "Size of Redis' nodes: db.… for memorydb, cache.… for elasticache."
  type        = string

  validation {
    condition     = can(regex("^(db|cache)\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "A node type begins with db. or cache., such as db.t4g.small."
  }
}

variable "replicas" {
  description = "Replicas of MemoryDB's one shard."
  type        = number
  default     = 0

  validation {
    condition     = var.replicas >= 0 && var.replicas <= 5
    error_message = "Give 0 to 5."
  }
}

variable "backup_days" {
  description = "Days that daily snapshots of Redis are kept."
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "Give 1 to 35 days."
  }
}

variable "snapshot" {
  description = "Snapshot of MemoryDB that a new cluster begins with; null: it begins empty."
  type        = string
  default     = null
}

variable "keep" {
  description = "Whether destroying leaves what holds data: buckets with something in them stop it, and Redis leaves a last snapshot."
  type        = bool
}

variable "subnet_ids" {
  description = "Subnets of Redis and of the shared folder, one a zone."
  type        = list(string)
}

variable "group_ids" {
  description = "Security groups by what they are of."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key that everything is encrypted with."
  type        = string
}
