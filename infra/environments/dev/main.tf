# To try things out: small, cheap, destroyed without a trace. State lies in a file beside this one.

provider "aws" {
  region = var.region

  default_tags {
    tags = { System = "sightline", Environment = "sightline-dev" }
  }
}

module "sightline" {
  source = "../../modules/sightline"

  name                   = "sightline-dev"
  domain                 = var.domain
  zone                   = var.zone
  size                   = var.size
  bundle                 = var.bundle
  redis                  = var.redis
  image_id               = var.image_id
  options                = var.options
  alert_addresses        = var.alert_addresses
  alert_webhooks         = var.alert_webhooks
  alert_webhooks_version = var.alert_webhooks_version
  trainer                = var.trainer
  keep                   = false
  log_days               = 30
  backup_days            = 1
}
