# The whole system in one region. An environment is this module with a domain, a region and a size.

data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394:Names come in order and a new zone last, so the first ones stay the first ones.
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

# Debian's own account publishes these.
data "aws_ami" "debian" {
  count = var.image_id == null ? 1 : 0

  owners      = ["136693071363"]
  most_recent = true

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

locals {
  size     = local.sizes[var.size]
  image_id = var.image_id == null ? data.aws_ami.debian[0].id : var.image_id
  zones    = slice(data.aws_availability_zones.this.names, 0, var.zones)

  tags = { System = "sightline", Environment = var.name }

  # What every instance is told about the place it is in.
  settings = {
    name     = var.name
    region   = data.aws_region.this.name
    domain   = var.domain
    services = "services.${var.name}.internal"
    redis    = module.data.redis
    secrets  = module.secrets.prefix
    files    = module.data.files
    buckets  = module.data.bucket_names
    options  = var.options
    # Where Nginx is: Grafana believes nobody else about who is asking.
    edge = module.network.subnet_cidrs.edge
    # Where no webhook is set, alerts go where AWS's own go; null: to nobody.
    topic = length(var.alert_addresses) == 0 ? null : aws_sns_topic.alerts.arn
  }
}

module "secrets" {
  source = "../secrets"

  name             = var.name
  deletion_days    = var.keep ? 30 : 0
  webhooks         = var.alert_webhooks
  webhooks_version = var.alert_webhooks_version
}

module "network" {
  source = "../network"

  name               = var.name
  cidr               = var.cidr
  zones              = local.zones
  nat                = var.nat
  endpoints          = concat(local.endpoints, [var.redis == "memorydb" ? "memory-db" : "elasticache"])
  endpoints_group_id = module.firewall.group_ids.endpoints
  bucket_arns        = values(module.data.bucket_arns)
  kms_key_arn        = module.secrets.kms_key_arn
  log_days           = var.log_days
}

module "firewall" {
  source = "../firewall"

  name              = var.name
  vpc_id            = module.network.vpc_id
  s3_prefix_list_id = module.network.s3_prefix_list_id
  internet_for      = merge(var.alert_webhooks_version > 0 ? { monitoring = "Alerts, to the webhooks of whoever is told" } : {}, var.internet_for)
}

module "data" {
  source = "../data"

  name        = var.name
  redis       = var.redis
  node_type   = coalesce(var.redis_node_type, local.size.redis[var.redis])
  backup_days = var.backup_days
  snapshot    = var.redis_snapshot
  keep        = var.keep
  subnet_ids  = module.network.subnet_ids.data
  group_ids   = module.firewall.group_ids
  kms_key_arn = module.secrets.kms_key_arn
}

module "identity" {
  source = "../identity"

  name            = var.name
  bucket_arns     = module.data.bucket_arns
  secret_arns     = module.secrets.secret_arns
  kms_key_arn     = module.secrets.kms_key_arn
  redis_user_arns = module.data.redis_user_arns
  topic_arn       = aws_sns_topic.alerts.arn
}

module "release" {
  source = "../release"

  bundle         = var.bundle
  trainer_bundle = var.trainer.bundle
  bucket         = module.data.bucket_names.bundles
  kms_key_arn    = module.secrets.kms_key_arn
}

module "app" {
  source = "../app"

  name              = var.name
  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.subnet_ids.app
  group_ids         = module.firewall.group_ids
  image_id          = local.image_id
  fleets            = { for kind in ["web", "inference"] : kind => local.size[kind] }
  instance_profiles = module.identity.instance_profiles
  bundle            = module.release.bundle
  settings          = local.settings
  keep              = var.keep
  tags              = local.tags
}

module "edge" {
  source = "../edge"

  name              = var.name
  vpc_id            = module.network.vpc_id
  public_subnet_ids = module.network.subnet_ids.public
  subnet_ids        = module.network.subnet_ids.edge
  group_ids         = module.firewall.group_ids
  image_id          = local.image_id
  instance_type     = local.size.edge.instance_type
  size              = local.size.edge.size
  instance_profile  = module.identity.instance_profiles.edge
  certificate_arn   = module.dns.certificate_arn
  bundle            = module.release.bundle
  settings          = local.settings
  keep              = var.keep
  tags              = local.tags
}

module "dns" {
  source = "../dns"

  name     = var.name
  zone     = var.zone
  domain   = var.domain
  vpc_id   = module.network.vpc_id
  edge     = { dns_name = module.edge.dns_name, zone_id = module.edge.zone_id }
  services = { dns_name = module.app.dns_name, zone_id = module.app.zone_id }
}

module "monitoring" {
  source = "../monitoring"

  name                     = var.name
  subnet_ids               = module.network.subnet_ids.monitoring
  group_ids                = module.firewall.group_ids
  image_id                 = local.image_id
  instance_type            = local.size.monitoring.instance_type
  disk_gb                  = local.size.monitoring.disk_gb
  instance_profile         = module.identity.instance_profiles.monitoring
  grafana_target_group_arn = module.app.grafana_target_group_arn
  bundle                   = module.release.bundle
  settings                 = local.settings
  tags                     = local.tags
}

module "trainer" {
  source = "../trainer"

  name             = var.name
  subnet_ids       = module.network.subnet_ids.trainer
  group_ids        = module.firewall.group_ids
  image_id         = coalesce(var.trainer.image_id, local.image_id)
  instance_types   = var.trainer.instance_types
  disk_gb          = var.trainer.disk_gb
  instance_profile = module.identity.instance_profiles.trainer
  more             = module.release.trainer
  jobs             = var.trainer.jobs
  schedule         = var.trainer.schedule
  hours            = var.trainer.hours
  budget_dollars   = var.trainer.budget_dollars
  topic_arn        = aws_sns_topic.alerts.arn
  bundle           = module.release.bundle
  settings         = local.settings
  tags             = local.tags
}

# ---- Alerts -------------------------------------------------------------------------------------

resource "aws_sns_topic" "alerts" {
  name              = "${var.name}-alerts"
  kms_master_key_id = module.secrets.kms_key_arn
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = toset(var.alert_addresses)

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.key
}

data "aws_iam_policy_document" "alerts" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.alerts.json
}
