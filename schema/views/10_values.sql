-- Every number or word that a living source record gives of a material, with its origin, best first.
CREATE VIEW analyst.material_values AS
-- A polar layer that its source drew the other way up than the representative has its faces exchanged here.
SELECT m.uid,
       m.id             AS material_id,
       m.kind,
       p.key            AS property,
       CASE WHEN p.key = 'vacuum_step' AND turned.over THEN -v.value ELSE v.value END AS value,
       v.label,
       p.unit,
       v.method,
       turned.face,
       s.key            AS source,
       r.external_id,
       s.citation,
       row_number() OVER (
           PARTITION BY m.id, p.id, v.method, turned.face
           ORDER BY s.precedence, (r.id <> rep.source_record_id), r.id
       )                AS preference
FROM material m
JOIN structure rep ON rep.id = m.structure_id
JOIN material_member mm ON mm.material_id = m.id
JOIN source_record r ON r.id = mm.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
JOIN property_value v ON v.source_record_id = r.id
JOIN property p ON p.id = v.property_id
CROSS JOIN LATERAL (
    SELECT coalesce((mm.evidence ->> 'flipped')::boolean, false) AS over,
           CASE WHEN (mm.evidence ->> 'flipped')::boolean
                THEN CASE v.face WHEN 'top' THEN 'bottom' WHEN 'bottom' THEN 'top' END
                ELSE v.face END AS face
) turned
WHERE m.withdrawn_at IS NULL;

COMMENT ON VIEW analyst.material_values IS 'Every fact about every material with its origin; conflicting sources all stay';
COMMENT ON COLUMN analyst.material_values.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.material_values.material_id IS 'number of the material in this database';
COMMENT ON COLUMN analyst.material_values.kind IS 'monolayer or bulk';
COMMENT ON COLUMN analyst.material_values.property IS 'key of the property, see analyst.properties';
COMMENT ON COLUMN analyst.material_values.value IS 'number, in the unit of the column unit';
COMMENT ON COLUMN analyst.material_values.label IS 'word, for properties without unit';
COMMENT ON COLUMN analyst.material_values.unit IS 'unit of value';
COMMENT ON COLUMN analyst.material_values.method IS 'level of theory, or experiment';
COMMENT ON COLUMN analyst.material_values.face IS 'bottom or top where the two faces differ';
COMMENT ON COLUMN analyst.material_values.source IS 'database and release that gave it';
COMMENT ON COLUMN analyst.material_values.external_id IS 'identifier of the record in its source';
COMMENT ON COLUMN analyst.material_values.citation IS 'what to cite';
COMMENT ON COLUMN analyst.material_values.preference IS '1 is the value shown by analyst.monolayers: best source first, then the representative record';

CREATE VIEW analyst.properties AS
SELECT key, symbol, unit, definition, applies_to, low, high FROM property;
COMMENT ON VIEW analyst.properties IS 'Definitions of all properties, with unit and sign convention';
COMMENT ON COLUMN analyst.properties.key IS 'identifier';
COMMENT ON COLUMN analyst.properties.symbol IS 'symbol in figures';
COMMENT ON COLUMN analyst.properties.unit IS 'unit of every value; empty for a word';
COMMENT ON COLUMN analyst.properties.definition IS 'what it is, with its sign convention';
COMMENT ON COLUMN analyst.properties.applies_to IS 'monolayer, bulk, interface';
COMMENT ON COLUMN analyst.properties.low IS 'smallest physically possible value, in unit';
COMMENT ON COLUMN analyst.properties.high IS 'largest physically possible value, in unit';
