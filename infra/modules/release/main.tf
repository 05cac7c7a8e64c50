# The bundle that `make release` made, in the bucket that every instance installs from.

locals {
  sha256 = filesha256(var.bundle)
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
