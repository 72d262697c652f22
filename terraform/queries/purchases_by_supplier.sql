-- Purchases by supplier
-- Orders, items and what they cost by supplier, each currency by itself, with the day of the last order.
SELECT b.counterparty_id,
       b.counterparty_legal_name AS supplier,
       c.currency_code,
       count(*) AS orders,
       sum(p.item_quantity) AS items,
       sum(p.item_quantity * p.item_unit_price) AS cost,
       max(p.created_date) AS last_ordered
  FROM fact_purchase_order_current p
  JOIN dim_counterparty b ON b.counterparty_id = p.counterparty_id
  JOIN dim_currency c ON c.currency_id = p.currency_id
 GROUP BY b.counterparty_id, b.counterparty_legal_name, c.currency_code
 ORDER BY c.currency_code, cost DESC, b.counterparty_id
