variable "name" {
  description = "How the names of the groups begin."
  type        = string
}

variable "vpc_id" {
  description = "The VPC that the groups are in."
  type        = string
}

variable "s3_prefix_list_id" {
  description = "Addresses of S3 behind its endpoint."
  type        = string
}

variable "internet_for" {
  description = "Which instances may open connections to the internet (443), and why: {web = \"Sign-in at our provider\"}."
  type        = map(string)

  validation {
    condition     = alltrue([for one in keys(var.internet_for) : contains(["web", "monitoring"], one)])
    error_message = "Only web (sign-in at a provider) and monitoring (alerts) can be let out."
  }

  validation {
    condition     = alltrue([for why in values(var.internet_for) : length(why) >= 10])
    error_message = "Say why, in ten letters or more."
  }
}
