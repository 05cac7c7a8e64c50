output "certificate_arn" {
  description = "The certificate, once the authority has seen that the name is ours."
  value       = aws_acm_certificate_validation.this.certificate_arn
}
