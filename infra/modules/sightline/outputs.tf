output "url" {
  description = "Where people open Sightline."
  value       = "https://${var.domain}"
}

output "first_admin" {
  description = "The command that prints the one-time link of the first admin."
  value       = "infra/first-admin.sh ${var.name} ${data.aws_region.this.name}"
}

output "train" {
  description = "The command that starts a training."
  value       = module.trainer.start
}

output "buckets" {
  description = "Names of the buckets by what they hold."
  value       = module.data.bucket_names
}

output "groups" {
  description = "Auto-scaling groups by kind of instance."
  value = merge(
    module.app.group_names,
    { for kind, name in module.trainer.group_names : "trainer-${kind}" => name },
    { monitoring = module.monitoring.group_name },
  )
}

output "nat_addresses" {
  description = "Addresses that the outside sees whoever goes out as."
  value       = module.network.nat_addresses
}
