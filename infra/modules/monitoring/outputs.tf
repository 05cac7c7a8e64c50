output "group_name" {
  description = "Auto-scaling group of the one instance."
  value       = module.fleet.group_name
}
