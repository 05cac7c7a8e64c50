# The bundle that `make release` made, in the bucket that every instance installs from.

locals {
  sha256  = filesha256(var.bundle)
  trainer = var.trainer_bundle == null ? null : filesha256(var.trainer_bundle)
}

# Under its digest: an instance that starts later finds what it was told, whatever was released since.
resource "aws_s3_object" "bundle" {
  bucket                 = var.bucket
  key                    = "${local.sha256}/${basename(var.bundle)}"
  source                 = var.bundle
  source_hash            = local.sha256
  server_side_encryption = "aws:kms"
  kms_key_id             = var.kms_key_arn
  content_type           = "application/gzip"
}

# What the trainer alone needs is larger than all the rest, and changes as seldom as its lock.
resource "aws_s3_object" "trainer" {
  count = var.trainer_bundle == null ? 0 : 1

  bucket                 = var.bucket
  key                    = "${local.trainer}/${basename(var.trainer_bundle)}"
  source                 = var.trainer_bundle
  source_hash            = local.trainer
  server_side_encryption = "aws:kms"
  kms_key_id             = var.kms_key_arn
  content_type           = "application/gzip"
}
