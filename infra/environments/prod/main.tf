# What patients' images go to. State lies in a bucket with a lock: `terraform init
# -backend-config=bucket=NAME -backend-config=region=REGION`.

terraform {
  backend "s3" {
    key          = "sightline-prod/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { System = "sightline", Environment = "sightline-prod" }
  }
}

module "sightline" {
  source = "../../modules/sightline"

  name                   = "sightline-prod"
  domain                 = var.domain
  zone                   = var.zone
  size                   = var.size
  bundle                 = var.bundle
  image_id               = var.image_id
  internet_for           = var.internet_for
  redis_snapshot         = var.redis_snapshot
  options                = var.options
  alert_addresses        = var.alert_addresses
  alert_webhooks         = var.alert_webhooks
  alert_webhooks_version = var.alert_webhooks_version
  trainer                = var.trainer
  nat                    = length(var.internet_for) == 0 ? "one" : "each_zone"
  keep                   = true
  log_days               = 365
  backup_days            = 35
}
