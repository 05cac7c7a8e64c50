output "user_data" {
  description = "The user data, in base64."
  value       = base64encode(local.user_data)

  precondition {
    condition     = length(base64encode(local.user_data)) < 16384 * 4 / 3
    error_message = "User data may have 16 KB."
  }
}
