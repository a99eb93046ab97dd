/** A table for looking something up; on a narrow screen it scrolls by itself, not the page. */
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableContainer from "@mui/material/TableContainer";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import type { ReactNode } from "react";

export interface GridRow {
  key: string | number;
  cells: readonly ReactNode[];
}

export function Grid(props: { label: string; heads: readonly string[]; rows: readonly GridRow[] }) {
  return (
    <TableContainer tabIndex={0} role="group" aria-label={props.label}>
      <Table size="small" aria-label={props.label}>
        <TableHead>
          <TableRow>
            {props.heads.map((head) => (
              <TableCell key={head} sx={{ fontWeight: 600, whiteSpace: "nowrap" }}>
                {head}
              </TableCell>
            ))}
          </TableRow>
        </TableHead>
        <TableBody>
          {props.rows.map(({ key, cells }) => (
            <TableRow key={key}>
              {cells.map((cell, index) => (
                <TableCell key={props.heads[index]} sx={{ overflowWrap: "anywhere" }}>
                  {cell}
                </TableCell>
              ))}
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}

/** Names and what they are: one line each. */
export function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <Table size="small">
      <TableBody>
        {facts.map(([name, value], index) => (
          <TableRow key={`${name} ${index}`}>
            <TableCell component="th" scope="row" sx={{ width: "35%", fontWeight: 600 }}>
              {name}
            </TableCell>
            <TableCell sx={{ overflowWrap: "anywhere" }}>{value}</TableCell>
          </TableRow>
        ))}
      </TableBody>
    </Table>
  );
}
