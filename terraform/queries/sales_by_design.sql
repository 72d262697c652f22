-- Sales by design
-- Orders, units and turnover of each design, each currency by itself.
SELECT d.design_id,
       d.design_name,
       c.currency_code,
       count(*) AS orders,
       sum(o.units_sold) AS units,
       sum(o.units_sold * o.unit_price) AS turnover
  FROM fact_sales_order_current o
  JOIN dim_design d ON d.design_id = o.design_id
  JOIN dim_currency c ON c.currency_id = o.currency_id
 GROUP BY d.design_id, d.design_name, c.currency_code
 ORDER BY c.currency_code, turnover DESC, d.design_id
