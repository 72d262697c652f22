-- Sales by country
-- Customers, orders and turnover by the country of the customer's legal address, each currency by itself.
SELECT b.counterparty_legal_country AS country,
       c.currency_code,
       count(DISTINCT o.counterparty_id) AS customers,
       count(*) AS orders,
       sum(o.units_sold * o.unit_price) AS turnover
  FROM fact_sales_order_current o
  JOIN dim_counterparty b ON b.counterparty_id = o.counterparty_id
  JOIN dim_currency c ON c.currency_id = o.currency_id
 GROUP BY b.counterparty_legal_country, c.currency_code
 ORDER BY c.currency_code, turnover DESC, country
