# Prometheus and Alertmanager, and Grafana where the bundle brings it, on one instance in a private subnet. It finds what to watch by
# the instances' tags; people come through Nginx, which asks who they are.

module "fleet" {
  source = "../fleet"

  name                = var.name
  role                = "monitoring"
  image_id            = var.image_id
  instance_type       = var.instance_type
  size                = { min = 1, max = 1 }
  disk_gb             = var.disk_gb
  subnet_ids          = var.subnet_ids
  group_id            = var.group_ids.monitoring
  instance_profile    = var.instance_profile
  target_group_arns   = [var.grafana_target_group_arn]
  checked_by_balancer = false # Prometheus goes on where Grafana does not
  bundle              = var.bundle
  settings            = var.settings
  tags                = var.tags
}
