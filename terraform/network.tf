# How jobs reach both databases: network interfaces in one subnet of their VPC, with no way to the internet.

resource "aws_security_group" "jobs" {
  count = local.in_vpc ? 1 : 0

  name        = "${local.name}-jobs"
  description = "Network interfaces of Glue jobs"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

# Glue asks for it: a job's workers talk to one another on any port.
resource "aws_vpc_security_group_ingress_rule" "workers" {
  count = local.in_vpc ? 1 : 0

  security_group_id            = aws_security_group.jobs[0].id
  referenced_security_group_id = aws_security_group.jobs[0].id
  description                  = "Workers of one job"
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "workers" {
  count = local.in_vpc ? 1 : 0

  security_group_id            = aws_security_group.jobs[0].id
  referenced_security_group_id = aws_security_group.jobs[0].id
  description                  = "Workers of one job"
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  count = local.in_vpc ? 1 : 0

  security_group_id = aws_security_group.jobs[0].id
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3[0].id
  description       = "S3 through its gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

data "aws_ec2_managed_prefix_list" "s3" {
  count = local.in_vpc ? 1 : 0

  name = "com.amazonaws.${var.region}.s3"
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  count = local.in_vpc && length(var.interface_endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.jobs[0].id
  referenced_security_group_id = aws_security_group.endpoints[0].id
  description                  = "AWS services through their interface endpoints"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "services" {
  for_each = local.in_vpc ? var.service_cidr_blocks : []

  security_group_id = aws_security_group.jobs[0].id
  cidr_ipv4         = each.key
  description       = "AWS services by a way that was there before"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "databases" {
  for_each = local.in_vpc ? var.database_security_group_ids : []

  security_group_id            = aws_security_group.jobs[0].id
  referenced_security_group_id = each.key
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = var.database_port
  to_port                      = var.database_port
}

resource "aws_vpc_security_group_ingress_rule" "databases" {
  for_each = local.in_vpc ? var.database_security_group_ids : []

  security_group_id            = each.key
  referenced_security_group_id = aws_security_group.jobs[0].id
  description                  = "Glue jobs of ${local.name}"
  ip_protocol                  = "tcp"
  from_port                    = var.database_port
  to_port                      = var.database_port
}

resource "aws_vpc_security_group_egress_rule" "other_databases" {
  for_each = local.in_vpc ? var.database_cidr_blocks : []

  security_group_id = aws_security_group.jobs[0].id
  cidr_ipv4         = each.key
  description       = "PostgreSQL"
  ip_protocol       = "tcp"
  from_port         = var.database_port
  to_port           = var.database_port
}

resource "aws_glue_connection" "databases" {
  count = local.in_vpc ? 1 : 0

  name            = local.name
  description     = "The network from which both databases are reached. Where they are, and as whom, the secrets say."
  connection_type = "NETWORK"

  physical_connection_requirements {
    availability_zone      = var.availability_zone
    subnet_id              = var.subnet_id
    security_group_id_list = [aws_security_group.jobs[0].id]
  }
}

# ---------------------------------------------------------------------------- endpoints

resource "aws_vpc_endpoint" "s3" {
  count = local.in_vpc && var.s3_gateway_endpoint ? 1 : 0

  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids

  tags = { Name = "${local.name}-s3" }
}

resource "aws_security_group" "endpoints" {
  count = local.in_vpc && length(var.interface_endpoints) > 0 ? 1 : 0

  name        = "${local.name}-endpoints"
  description = "Interface endpoints that Glue jobs use"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = local.in_vpc && length(var.interface_endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  referenced_security_group_id = aws_security_group.jobs[0].id
  description                  = "Glue jobs"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "services" {
  for_each = local.in_vpc ? var.interface_endpoints : []

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = length(var.endpoint_subnet_ids) > 0 ? var.endpoint_subnet_ids : [var.subnet_id]
  security_group_ids  = [aws_security_group.endpoints[0].id]

  tags = { Name = "${local.name}-${each.key}" }
}
