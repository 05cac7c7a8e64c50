output "instance_profiles" {
  description = "Names of the instance profiles by kind of instance."
  value       = { for role, profile in aws_iam_instance_profile.this : role => profile.name }

  # Whoever starts with a profile starts with its rights.
  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy_attachment.sessions]
}

output "role_arns" {
  description = "The roles by kind of instance."
  value       = { for role, one in aws_iam_role.this : role => one.arn }
}
