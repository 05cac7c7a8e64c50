output "kms_key_arn" {
  description = "The key that everything is encrypted with."
  value       = aws_kms_key.this.arn
}

output "secret_arns" {
  description = "Places of the secrets by their names without the prefix."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "prefix" {
  description = "How the names of the secrets begin."
  value       = "${var.name}/"
}
