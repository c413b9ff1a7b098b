CREATE VIEW analyst.interfaces AS
SELECT i.id,
       i.kind,
       i.bottom_name,
       i.top_name,
       bottom.uid        AS bottom_uid,
       top.uid           AS top_uid,
       i.surface,
       st.flip,
       st.shift_a,
       st.shift_b,
       st.twist,
       v.binding_energy,
       v.binding_energy_per_atom,
       v.interlayer_distance,
       v.gap,
       v.slide_stability,
       s.key             AS source,
       r.external_id,
       member.representative_id AS same_as
FROM interface i
JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id
LEFT JOIN interface_member member ON member.interface_id = i.id
LEFT JOIN stacking st ON st.interface_id = i.id
LEFT JOIN material bottom ON bottom.id = i.bottom_material_id
LEFT JOIN material top ON top.id = i.top_material_id
LEFT JOIN LATERAL (
    SELECT max(value) FILTER (WHERE p.key = 'binding_energy')          AS binding_energy,
           max(value) FILTER (WHERE p.key = 'binding_energy_per_atom') AS binding_energy_per_atom,
           max(value) FILTER (WHERE p.key = 'interlayer_distance')     AS interlayer_distance,
           max(value) FILTER (WHERE p.key = 'gap')                     AS gap,
           max(label) FILTER (WHERE p.key = 'slide_stability')         AS slide_stability
    FROM property_value pv
    JOIN property p ON p.id = pv.property_id
    WHERE pv.source_record_id = r.id
) v ON true;

COMMENT ON VIEW analyst.interfaces IS 'Computed interfaces, as their sources give them';
COMMENT ON COLUMN analyst.interfaces.id IS 'number of the interface';
COMMENT ON COLUMN analyst.interfaces.kind IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.interfaces.bottom_name IS 'the source''s name of the lower side';
COMMENT ON COLUMN analyst.interfaces.top_name IS 'the source''s name of the upper side';
COMMENT ON COLUMN analyst.interfaces.bottom_uid IS 'material below, if known';
COMMENT ON COLUMN analyst.interfaces.top_uid IS 'material above, if known';
COMMENT ON COLUMN analyst.interfaces.surface IS 'Miller plane of the substrate';
COMMENT ON COLUMN analyst.interfaces.flip IS 'whether the upper layer is turned over';
COMMENT ON COLUMN analyst.interfaces.shift_a IS 'registry shift along a, fraction of the cell';
COMMENT ON COLUMN analyst.interfaces.shift_b IS 'registry shift along b, fraction of the cell';
COMMENT ON COLUMN analyst.interfaces.twist IS 'degrees';
COMMENT ON COLUMN analyst.interfaces.binding_energy IS 'meV/Å², positive = bound';
COMMENT ON COLUMN analyst.interfaces.binding_energy_per_atom IS 'eV per atom of the 2D layer, positive = bound (2d-on-bulk)';
COMMENT ON COLUMN analyst.interfaces.interlayer_distance IS 'Å, lowest nucleus above minus highest nucleus below';
COMMENT ON COLUMN analyst.interfaces.gap IS 'eV';
COMMENT ON COLUMN analyst.interfaces.slide_stability IS 'Stable, Unstable or Unverified against sliding';
COMMENT ON COLUMN analyst.interfaces.source IS 'database and release';
COMMENT ON COLUMN analyst.interfaces.external_id IS 'identifier of the record in its source';
COMMENT ON COLUMN analyst.interfaces.same_as IS 'number of the interface that represents this stack: its own unless another record describes the same layers in the same registry; null while a side is unknown';

CREATE VIEW analyst.homobilayers AS
SELECT * FROM analyst.interfaces WHERE kind = 'homobilayer';
COMMENT ON VIEW analyst.homobilayers IS 'The computed interfaces of a layer with itself; columns as in analyst.interfaces';

CREATE VIEW analyst.stacks AS
SELECT rep.id,
       rep.kind,
       rep.bottom_name,
       rep.top_name,
       rep.bottom_uid,
       rep.top_uid,
       rep.surface,
       count(*)                                            AS n_records,
       array_agg(DISTINCT i.source ORDER BY i.source)      AS sources,
       rep.binding_energy,
       max(i.binding_energy) - min(i.binding_energy)       AS binding_energy_spread,
       rep.binding_energy_per_atom,
       max(i.binding_energy_per_atom) - min(i.binding_energy_per_atom) AS binding_energy_per_atom_spread,
       rep.interlayer_distance,
       max(i.interlayer_distance) - min(i.interlayer_distance) AS interlayer_distance_spread,
       rep.gap,
       max(i.gap) - min(i.gap)                             AS gap_spread,
       rep.source,
       rep.external_id
FROM analyst.interfaces i
JOIN analyst.interfaces rep ON rep.id = i.same_as
GROUP BY rep.id, rep.kind, rep.bottom_name, rep.top_name, rep.bottom_uid, rep.top_uid, rep.surface,
         rep.binding_energy, rep.binding_energy_per_atom, rep.interlayer_distance, rep.gap, rep.source, rep.external_id;

COMMENT ON VIEW analyst.stacks IS 'One row a distinct stack: same sides, same registry, whoever computed it; its records are the rows of analyst.interfaces whose same_as is its id';
COMMENT ON COLUMN analyst.stacks.id IS 'number of the interface that represents it';
COMMENT ON COLUMN analyst.stacks.kind IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.stacks.bottom_name IS 'name of the lower side in the representative''s source';
COMMENT ON COLUMN analyst.stacks.top_name IS 'name of the upper side in the representative''s source';
COMMENT ON COLUMN analyst.stacks.bottom_uid IS 'material below';
COMMENT ON COLUMN analyst.stacks.top_uid IS 'material above';
COMMENT ON COLUMN analyst.stacks.surface IS 'Miller plane of the substrate';
COMMENT ON COLUMN analyst.stacks.n_records IS 'records that describe it';
COMMENT ON COLUMN analyst.stacks.sources IS 'sources that know it';
COMMENT ON COLUMN analyst.stacks.binding_energy IS 'meV/Å², positive = bound; of the representative';
COMMENT ON COLUMN analyst.stacks.binding_energy_spread IS 'meV/Å², largest minus smallest of its records; 0 where one record gives it';
COMMENT ON COLUMN analyst.stacks.binding_energy_per_atom IS 'eV per atom of the 2D layer, positive = bound (2d-on-bulk); of the representative';
COMMENT ON COLUMN analyst.stacks.binding_energy_per_atom_spread IS 'eV per atom of the 2D layer, largest minus smallest of its records';
COMMENT ON COLUMN analyst.stacks.interlayer_distance IS 'Å, lowest nucleus above minus highest nucleus below; of the representative';
COMMENT ON COLUMN analyst.stacks.interlayer_distance_spread IS 'Å, largest minus smallest of its records';
COMMENT ON COLUMN analyst.stacks.gap IS 'eV; of the representative';
COMMENT ON COLUMN analyst.stacks.gap_spread IS 'eV, largest minus smallest of its records';
COMMENT ON COLUMN analyst.stacks.source IS 'database and release of the representative';
COMMENT ON COLUMN analyst.stacks.external_id IS 'identifier of the representative in its source';

CREATE VIEW analyst.stack_members AS
SELECT m.representative_id AS same_as, m.interface_id AS id, s.key AS source, r.external_id, m.distance, m.method,
       m.version, m.evidence, m.decided_at
FROM interface_member m
JOIN interface i ON i.id = m.interface_id
JOIN source_record r ON r.id = i.source_record_id
JOIN source s ON s.id = r.source_id;
COMMENT ON VIEW analyst.stack_members IS 'Which interface is which stack, and the evidence';
COMMENT ON COLUMN analyst.stack_members.same_as IS 'number of the interface that represents the stack, as in analyst.stacks.id';
COMMENT ON COLUMN analyst.stack_members.id IS 'number of the interface';
COMMENT ON COLUMN analyst.stack_members.source IS 'key of the source';
COMMENT ON COLUMN analyst.stack_members.external_id IS 'identifier in the source';
COMMENT ON COLUMN analyst.stack_members.distance IS 'Å, fingerprint distance to the representative at one interlayer distance';
COMMENT ON COLUMN analyst.stack_members.method IS 'how it was decided: representative, fingerprint+matcher, or stated registry where no source gives a structure';
COMMENT ON COLUMN analyst.stack_members.version IS 'version of the method';
COMMENT ON COLUMN analyst.stack_members.evidence IS 'numbers behind the decision: registry (shift of the sides, Å), rms (displacements within the sides, Å), distance_difference (Å), ln_area_ratio, materials';
COMMENT ON COLUMN analyst.stack_members.decided_at IS 'when it was decided';
