import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";

/** What is there for whoever wants to know more, opened by its title. */
export function Details(props: { title: string; isOpen?: boolean; children: ReactNode }) {
  return (
    <details open={props.isOpen}>
      <Typography
        component="summary"
        sx={{ minHeight: 48, lineHeight: "48px", fontWeight: 600, cursor: "pointer" }}
      >
        {props.title}
      </Typography>
      {props.children}
    </details>
  );
}
