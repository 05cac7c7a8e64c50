variable "name" {
  description = "How the names of key and secrets begin."
  type        = string
}

variable "deletion_days" {
  description = "Days that a deleted secret and the key can still be brought back: 0 (secrets at once, the key after 7) or 7 to 30."
  type        = number

  validation {
    condition     = var.deletion_days == 0 || (var.deletion_days >= 7 && var.deletion_days <= 30)
    error_message = "Give 0, or 7 to 30 days."
  }
}

variable "webhooks" {
  description = "Addresses that alerts go to; kept in Secrets Manager alone."
  type        = map(string)
  ephemeral   = true
}

variable "webhooks_version" {
  description = "Raised with each change of them; 0: none were given here."
  type        = number
}
