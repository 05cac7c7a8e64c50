output "group_ids" {
  description = "Ids of the security groups by what they are of."
  value       = { for name, group in aws_security_group.this : name => group.id }

  # Whoever starts in a group starts with its rules.
  depends_on = [
    aws_vpc_security_group_ingress_rule.this,
    aws_vpc_security_group_egress_rule.this,
    aws_vpc_security_group_egress_rule.s3,
  ]
}
