output "sightline" {
  description = "Where it is, and the commands that start things."
  value       = module.sightline
}
