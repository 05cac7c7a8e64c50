output "dns_name" {
  description = "DNS name of the load balancer inside."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Zone of that name, for an alias."
  value       = aws_lb.this.zone_id
}

output "grafana_target_group_arn" {
  description = "Target group of Grafana, which is part of monitoring."
  value       = aws_lb_target_group.this["grafana"].arn
}

output "group_names" {
  description = "Auto-scaling groups by kind of instance."
  value       = { for kind, one in module.fleet : kind => one.group_name }
}
