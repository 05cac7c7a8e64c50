# What an instance is told at its first start. It holds no secret: who can describe an instance can
# read its user data.

locals {
  settings = jsonencode(merge(var.settings, { role = var.role }))

  user_data = templatefile("${path.module}/templates/user-data.sh.tftpl", {
    role     = var.role
    region   = var.region
    bucket   = var.bundle.bucket
    key      = var.bundle.key
    sha256   = var.bundle.sha256
    settings = local.settings
    more     = var.more
    fetch    = file("${path.module}/templates/fetch.py")
  })
}
