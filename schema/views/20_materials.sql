CREATE VIEW analyst.monolayers AS
SELECT m.uid,
       m.formula,
       m.elements,
       m.n_atoms,
       exp(l.ln_area)                                                  AS area,
       sqrt(l.basis[1] ^ 2 + l.basis[2] ^ 2)                           AS a,
       sqrt(l.basis[3] ^ 2 + l.basis[4] ^ 2)                           AS b,
       degrees(atan2(l.tau_im, l.tau_re))                              AS gamma,
       l.thickness,
       l.layer_group,
       l.polar,
       v.gap,
       v.gap_hse,
       v.vbm,
       v.cbm,
       v.work_function,
       v.formation_energy,
       v.hull_energy,
       v.exfoliation_energy,
       v.magnetic_state,
       (SELECT count(*) FROM material_member mm WHERE mm.material_id = m.id) AS n_records,
       ARRAY(SELECT DISTINCT s.key
             FROM material_member mm
             JOIN source_record r ON r.id = mm.source_record_id AND r.state = 'accepted'
             JOIN source s ON s.id = r.source_id
             WHERE mm.material_id = m.id
             ORDER BY s.key)                                           AS sources
FROM material m
JOIN monolayer l ON l.material_id = m.id
LEFT JOIN LATERAL (
    SELECT max(value) FILTER (WHERE property = 'gap' AND method = 'PBE' AND face IS NULL)        AS gap,
           max(value) FILTER (WHERE property = 'gap' AND method = 'HSE06' AND face IS NULL)      AS gap_hse,
           max(value) FILTER (WHERE property = 'vbm' AND method = 'PBE')                         AS vbm,
           min(value) FILTER (WHERE property = 'cbm' AND method = 'PBE')                         AS cbm,
           min(value) FILTER (WHERE property = 'work_function' AND method = 'PBE')               AS work_function,
           max(value) FILTER (WHERE property = 'formation_energy' AND method = 'PBE')            AS formation_energy,
           max(value) FILTER (WHERE property = 'hull_energy' AND method = 'PBE')                 AS hull_energy,
           max(value) FILTER (WHERE property = 'exfoliation_energy')                             AS exfoliation_energy,
           max(label) FILTER (WHERE property = 'magnetic_state' AND method <> 'ML (source)')     AS magnetic_state
    FROM analyst.material_values
    WHERE material_id = m.id AND preference = 1
) v ON true
WHERE m.withdrawn_at IS NULL;

COMMENT ON VIEW analyst.monolayers IS 'One row a distinct freestanding layer, with its preferred values';
COMMENT ON COLUMN analyst.monolayers.uid IS 'stable name';
COMMENT ON COLUMN analyst.monolayers.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.monolayers.elements IS 'element symbols, sorted';
COMMENT ON COLUMN analyst.monolayers.n_atoms IS 'atoms in its cell';
COMMENT ON COLUMN analyst.monolayers.area IS 'Å², cell area';
COMMENT ON COLUMN analyst.monolayers.a IS 'Å, shorter vector of the reduced cell';
COMMENT ON COLUMN analyst.monolayers.b IS 'Å, longer vector of the reduced cell';
COMMENT ON COLUMN analyst.monolayers.gamma IS 'degrees, angle of the reduced cell, 60 to 90';
COMMENT ON COLUMN analyst.monolayers.thickness IS 'Å, lowest to highest nucleus';
COMMENT ON COLUMN analyst.monolayers.layer_group IS 'layer group number, 1 to 80';
COMMENT ON COLUMN analyst.monolayers.polar IS 'whether the two faces differ';
COMMENT ON COLUMN analyst.monolayers.gap IS 'eV, PBE gap; 0 metallic';
COMMENT ON COLUMN analyst.monolayers.gap_hse IS 'eV, HSE06 gap';
COMMENT ON COLUMN analyst.monolayers.vbm IS 'eV, PBE valence band maximum against vacuum; of two faces the higher';
COMMENT ON COLUMN analyst.monolayers.cbm IS 'eV, PBE conduction band minimum against vacuum; of two faces the lower';
COMMENT ON COLUMN analyst.monolayers.work_function IS 'eV, PBE work function; of two faces the smaller';
COMMENT ON COLUMN analyst.monolayers.formation_energy IS 'eV/atom, heat of formation';
COMMENT ON COLUMN analyst.monolayers.hull_energy IS 'eV/atom above the convex hull';
COMMENT ON COLUMN analyst.monolayers.exfoliation_energy IS 'eV/atom to peel the layer off its parent';
COMMENT ON COLUMN analyst.monolayers.magnetic_state IS 'NM, FM, AFM or FIM, as calculated';
COMMENT ON COLUMN analyst.monolayers.n_records IS 'source records judged to be this layer';
COMMENT ON COLUMN analyst.monolayers.sources IS 'sources that know it';

CREATE VIEW analyst.bulk_phases AS
SELECT m.uid, m.formula, m.elements, m.n_atoms, b.space_group, b.volume_per_atom,
       (SELECT count(*) FROM surface f WHERE f.material_id = m.id) AS n_surfaces
FROM material m
JOIN bulk_phase b ON b.material_id = m.id
WHERE m.withdrawn_at IS NULL;
COMMENT ON VIEW analyst.bulk_phases IS 'One row a distinct crystal';
COMMENT ON COLUMN analyst.bulk_phases.uid IS 'stable name';
COMMENT ON COLUMN analyst.bulk_phases.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.bulk_phases.elements IS 'element symbols, sorted';
COMMENT ON COLUMN analyst.bulk_phases.n_atoms IS 'atoms in its cell';
COMMENT ON COLUMN analyst.bulk_phases.space_group IS 'space group number';
COMMENT ON COLUMN analyst.bulk_phases.volume_per_atom IS 'Å³ per atom';
COMMENT ON COLUMN analyst.bulk_phases.n_surfaces IS 'low-index faces held';
