import Container from "@mui/material/Container";
import LinearProgress from "@mui/material/LinearProgress";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ProblemAlert } from "./ProblemAlert";

/** One screen: its heading, what can be done beside it, and what it shows below. */
export function Page(props: { title: ReactNode; actions?: ReactNode; wide?: boolean; children: ReactNode }) {
  return (
    <Container component="main" maxWidth={props.wide ? "xl" : "md"} sx={{ py: 2 }}>
      <Stack direction="row" spacing={1} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap", mb: 2 }}>
        <Typography variant="h5" component="h1" sx={{ flexGrow: 1 }}>
          {props.title}
        </Typography>
        {props.actions}
      </Stack>
      <Stack spacing={2}>{props.children}</Stack>
    </Container>
  );
}

/** What a query gave (until then what the last one gave); under way a bar, if it failed the problem with a way to ask again. */
export function Loaded<T>(props: { of: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  const { data, error, isPlaceholderData, refetch } = props.of;
  const isUnderWay = isPlaceholderData || (data === undefined && !error);
  return (
    <>
      {error && <ProblemAlert error={error} onRetry={() => void refetch()} />}
      {isUnderWay && <LinearProgress aria-label="…" />}
      {data !== undefined && props.children(data)}
    </>
  );
}
