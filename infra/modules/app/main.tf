# The services: pages, identity and audit trail on one kind of instance, readings on another, both
# behind one load balancer inside. Its addresses stay the same, so Nginx may look its name up once.

locals {
  listeners = {
    web       = { port = 8001, fleet = "web", path = "/readyz", sees_caller = false }
    inference = { port = 8002, fleet = "inference", path = "/readyz", sees_caller = false }
    identity  = { port = 8003, fleet = "web", path = "/readyz", sees_caller = false }
    grafana   = { port = 3000, fleet = "monitoring", path = "/api/health", sees_caller = true }
  }
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:Its lines hold no more than the services' own logs do.
  name                             = "${var.name}-inner"
  load_balancer_type               = "network"
  internal                         = true
  subnets                          = var.subnet_ids
  security_groups                  = [var.group_ids.inner]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.keep

  tags = { Name = "${var.name}-inner" }
}

# Callers' addresses are not preserved: they are Nginx's, and one that called itself would get no answer.
# Grafana sees them, calls nobody by this way, and believes those of the edge's subnets alone.
resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:Inside the VPC the services speak plain HTTP, see docs/decisions on AWS.
  for_each = local.listeners

  name                 = "${var.name}-${each.key}"
  vpc_id               = var.vpc_id
  protocol             = "TCP"
  port                 = each.value.port
  target_type          = "instance"
  preserve_client_ip   = tostring(each.value.sees_caller)
  deregistration_delay = 45

  health_check {
    protocol            = "HTTP"
    port                = tostring(each.value.port)
    path                = each.value.path
    matcher             = "200-299"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_lb_listener" "this" {
  #checkov:skip=CKV_AWS_2:As for the target groups.
  #checkov:skip=CKV_AWS_103:As for the target groups.
  for_each = local.listeners

  load_balancer_arn = aws_lb.this.arn
  port              = each.value.port
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }
}

module "fleet" {
  source   = "../fleet"
  for_each = toset(["web", "inference"])

  name              = var.name
  role              = each.key
  image_id          = var.image_id
  instance_type     = var.fleets[each.key].instance_type
  size              = var.fleets[each.key].size
  subnet_ids        = var.subnet_ids
  group_id          = var.group_ids[each.key]
  instance_profile  = var.instance_profiles[each.key]
  target_group_arns = [for name, one in local.listeners : aws_lb_target_group.this[name].arn if one.fleet == each.key]
  bundle            = var.bundle
  settings          = var.settings
  tags              = var.tags
}
