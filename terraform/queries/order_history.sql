-- History of a sales order
-- Every version of one sales order, from when to when it held, and the batch that brought it.
-- order: integer, the sales order's key
SELECT o.version,
       o.valid_from,
       o.valid_to,
       o.is_current,
       o.deleted_at,
       o.units_sold,
       o.unit_price,
       c.currency_code,
       o.agreed_payment_date,
       o.agreed_delivery_date,
       o.sales_staff_id,
       o.counterparty_id,
       o.batch_id
  FROM fact_sales_order_history o
  JOIN dim_currency c ON c.currency_id = o.currency_id
 WHERE o.sales_order_id = ?
 ORDER BY o.version
