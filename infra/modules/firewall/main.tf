# Who may talk to whom, as one table: each row is a rule of the sender and a rule of the receiver,
# and says why it is there. What is not in the table is not possible.

locals {
  groups = {
    balancer   = "Public load balancer, the one thing with public addresses"
    edge       = "Nginx, the one public door"
    inner      = "Load balancer of the services, inside"
    web        = "Pages, identity service and audit trail"
    inference  = "Readings and their API"
    redis      = "Store of readings and accounts"
    files      = "Shared folder of the audit trail"
    trainer    = "Trains models, for hours at most"
    monitoring = "Prometheus, Alertmanager and Grafana"
    endpoints  = "AWS services, inside"
  }

  talks = {
    internet-balancer-443 = { from = "internet", to = "balancer", port = 443, why = "People and programs come by TLS" }
    internet-balancer-80  = { from = "internet", to = "balancer", port = 80, why = "Whoever comes without TLS is shown the way to it" }
    balancer-edge-443     = { from = "balancer", to = "edge", port = 443, why = "Requests, encrypted again" }
    balancer-edge-80      = { from = "balancer", to = "edge", port = 80, why = "Requests to be redirected to TLS" }

    edge-inner-8001 = { from = "edge", to = "inner", port = 8001, why = "Nginx passes pages on" }
    edge-inner-8002 = { from = "edge", to = "inner", port = 8002, why = "Nginx passes the API on" }
    edge-inner-8003 = { from = "edge", to = "inner", port = 8003, why = "Nginx asks who is asking" }
    web-inner-8002  = { from = "web", to = "inner", port = 8002, why = "Pages ask the API" }

    inner-web-8001       = { from = "inner", to = "web", port = 8001, why = "Pages, and whether they are ready" }
    inner-web-8003       = { from = "inner", to = "web", port = 8003, why = "Identity service, and whether it is ready" }
    inner-inference-8002 = { from = "inner", to = "inference", port = 8002, why = "API, and whether it is ready" }

    web-redis-6379       = { from = "web", to = "redis", port = 6379, why = "Accounts, sessions and audit events" }
    inference-redis-6379 = { from = "inference", to = "redis", port = 6379, why = "Readings and batches" }
    trainer-redis-6379   = { from = "trainer", to = "redis", port = 6379, why = "Readings of a batch, added only" }
    web-files-2049       = { from = "web", to = "files", port = 2049, why = "Audit trail" }

    monitoring-edge-9100      = { from = "monitoring", to = "edge", port = 9100, why = "Figures of the machine" }
    monitoring-web-9100       = { from = "monitoring", to = "web", port = 9100, why = "Figures of the machine" }
    monitoring-inference-9100 = { from = "monitoring", to = "inference", port = 9100, why = "Figures of the machine" }
    monitoring-trainer-9100   = { from = "monitoring", to = "trainer", port = 9100, why = "Figures of the machine" }
    monitoring-web-8001       = { from = "monitoring", to = "web", port = 8001, why = "Figures of the pages" }
    monitoring-web-8003       = { from = "monitoring", to = "web", port = 8003, why = "Figures of the identity service" }
    monitoring-inference-8002 = { from = "monitoring", to = "inference", port = 8002, why = "Figures of the API" }
    monitoring-inference-8005 = { from = "monitoring", to = "inference", port = 8005, why = "Figures of the workers" }
    monitoring-edge-9113      = { from = "monitoring", to = "edge", port = 9113, why = "Figures of Nginx" }
    monitoring-trainer-9109   = { from = "monitoring", to = "trainer", port = 9109, why = "Figures of a training" }
    monitoring-redis-6379     = { from = "monitoring", to = "redis", port = 6379, why = "Figures of Redis, as its user exporter" }

    edge-inner-3000       = { from = "edge", to = "inner", port = 3000, why = "Nginx passes Grafana on to whoever may see it" }
    inner-monitoring-3000 = { from = "inner", to = "monitoring", port = 3000, why = "Grafana, and whether it is ready" }
  }

  # Every instance fetches its secrets and its bundle, and is reached by sessions.
  instances = ["edge", "web", "inference", "trainer", "monitoring"]
  asks = {
    for one in local.instances : "${one}-endpoints-443" => {
      from = one, to = "endpoints", port = 443, why = "Secrets, keys and sessions"
    }
  }

  rules = merge(local.talks, local.asks)
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:Each is given to what it is of by the module that makes that.
  for_each = local.groups

  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.rules

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = each.value.from == "internet" ? null : aws_security_group.this[each.value.from].id
  cidr_ipv4                    = each.value.from == "internet" ? "0.0.0.0/0" : null
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.why

  tags = { Name = each.key }
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = { for name, one in local.rules : name => one if one.from != "internet" }

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.value.why

  tags = { Name = each.key }
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = toset(local.instances)

  security_group_id = aws_security_group.this[each.key].id
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "Bundle, models and data, from our own buckets"

  tags = { Name = "${each.key}-s3-443" }
}

resource "aws_vpc_security_group_egress_rule" "internet" {
  for_each = var.internet_for

  security_group_id = aws_security_group.this[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = each.value

  tags = { Name = "${each.key}-internet-443" }
}
