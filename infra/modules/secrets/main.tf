# The key that everything is encrypted with, and a place for each secret. The places are empty: the
# instances fill them at their first start, so no value is ever in the state or in a plan.

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  secrets = {
    "redis/inference"       = "Password of the Redis user inference"
    "redis/identity"        = "Password of the Redis user identity"
    "redis/chainer"         = "Password of the Redis user chainer"
    "redis/trainer"         = "Password of the Redis user trainer"
    "redis/exporter"        = "Password of the Redis user exporter"
    "identity/key"          = "Private key that says who is asking (Ed25519, PEM)"
    "identity/public-key"   = "Its public key, which the services are given"
    "patient-reference/key" = "Key of the hash that stands for a patient reference; with another, old references are found no more"
    "alerts/webhooks"       = "Addresses of the webhooks that alerts go to, as JSON: page, ticket, watchdog"
  }
}

resource "aws_kms_key" "this" {
  description             = "Encrypts what ${var.name} stores"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_days < 7 ? 7 : var.deletion_days
  policy                  = data.aws_iam_policy_document.key.json

  tags = { Name = var.name }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.id
}

# A key's own policy names the key by "*": it can stand for this key alone.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:The policy of a key names that key as "*"; AWS knows no other way.
  #checkov:skip=CKV_AWS_111:As above.
  #checkov:skip=CKV_AWS_356:As above.
  statement {
    sid       = "AccountDecidesByItsPolicies"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }

  statement {
    sid       = "LogsOfOurName"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.this.name}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:aws:logs:${data.aws_region.this.name}:${data.aws_caller_identity.this.account_id}:log-group:/${var.name}/*"]
    }
  }

  statement {
    sid       = "AlarmsToTheTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

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

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotated with the release, see docs/operations.md: two services have to change together.
  for_each = local.secrets

  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.deletion_days

  tags = { Name = "${var.name}/${each.key}" }
}

# The one secret that comes from outside. Written only: it is in no state and in no plan.
resource "aws_secretsmanager_secret_version" "webhooks" {
  count = var.webhooks_version > 0 ? 1 : 0

  secret_id                = aws_secretsmanager_secret.this["alerts/webhooks"].id
  secret_string_wo         = jsonencode(var.webhooks)
  secret_string_wo_version = var.webhooks_version
}
