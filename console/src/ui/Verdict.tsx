/** Verdicts as a mark, a word and a colour: never by colour alone. */
import Chip from "@mui/material/Chip";
import SvgIcon from "@mui/material/SvgIcon";
import { type Key, useWords } from "../i18n";

export type Result = "OK" | "NG" | "HOLD" | "REVIEW" | "ERROR" | "NONE";
type Look = { color: "success" | "error" | "warning" | "default"; path: string; word: Key };

const LOOKS: Record<Result, Look> = {
  OK: { color: "success", path: "M4 12l6 6L20 6", word: "verdict.OK" },
  NG: { color: "error", path: "M5 5l14 14M19 5L5 19", word: "verdict.NG" },
  HOLD: { color: "warning", path: "M8 4v16M16 4v16", word: "verdict.HOLD" },
  REVIEW: {
    color: "warning",
    path: "M8 8a4 4 0 1 1 5 4c-1 .5-1 1-1 3M12 19v1",
    word: "verdict.REVIEW",
  },
  ERROR: { color: "error", path: "M12 4v11M12 19v1", word: "verdict.ERROR" },
  NONE: { color: "default", path: "M5 12h14", word: "verdict.NONE" },
};

export const asResult = (text: string | null | undefined): Result =>
  text && text in LOOKS ? (text as Result) : "NONE";

export function VerdictMark({ result }: { result: Result }) {
  return (
    <SvgIcon aria-hidden>
      <path d={LOOKS[result].path} fill="none" stroke="currentColor" strokeWidth="3" />
    </SvgIcon>
  );
}

export function Verdict(props: { result: Result; label?: string; size?: "small" | "medium" }) {
  const { t } = useWords();
  const look = LOOKS[props.result];
  const word = t(look.word);
  return (
    <Chip
      color={look.color}
      size={props.size ?? "medium"}
      variant={props.result === "NONE" ? "outlined" : "filled"}
      icon={<VerdictMark result={props.result} />}
      label={props.label ? `${props.label} ${word}` : word}
      data-result={props.result}
    />
  );
}
