output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Ids of the subnets by kind: public, edge, app, data, trainer, monitoring."
  value = {
    for kind in local.kinds : kind => [for zone in var.zones : aws_subnet.this["${kind}-${zone}"].id]
  }
}

output "subnet_cidrs" {
  description = "Addresses of the subnets by kind."
  value = {
    for kind in local.kinds : kind => [for zone in var.zones : local.subnets["${kind}-${zone}"].cidr]
  }
}

output "s3_prefix_list_id" {
  description = "Addresses of S3, for security group rules."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "nat_addresses" {
  description = "Addresses that the outside sees whoever goes out as."
  value       = [for one in aws_eip.nat : one.public_ip]
}
