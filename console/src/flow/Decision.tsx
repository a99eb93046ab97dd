import Button from "@mui/material/Button";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import Typography from "@mui/material/Typography";
import { usePrefetchQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { reasons } from "../api/queries";
import { type Key, useWords } from "../i18n";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Kbd, useShortcuts } from "../ui/shortcuts";
import { asResult, Verdict, VerdictMark } from "../ui/Verdict";
import { type Deciding, type Final, type Marking, useDecide } from "./decide";

const FINALS: readonly [Final, string, "success" | "error" | "warning"][] = [
  ["OK", "1", "success"],
  ["NG", "2", "error"],
  ["HOLD", "3", "warning"],
];

interface Props extends Deciding {
  /** Why OK cannot be given, if it cannot. */
  okRefused?: Key | null;
}

/** The person's verdict: OK at once, NG and HOLD with a reason, a note and a place. */
export function Decision(props: Props) {
  const { t } = useWords();
  const { item } = props;
  const [chosen, setChosen] = useState<Final | null>(null);
  const decide = useDecide(props);
  usePrefetchQuery(reasons); // there when NG or HOLD is pressed
  const present = item.verdict?.human_result;
  const choose = (result: Final) => {
    if (decide.isPending || (result === "OK" && props.okRefused)) return;
    if (result === "OK") decide.send({ final_result: "OK" });
    else setChosen(result);
  };
  const keys = Object.fromEntries(FINALS.map(([result, key]) => [key, () => choose(result)]));
  useShortcuts(props.canDecide && chosen === null ? keys : {});
  if (!props.canDecide) return present ? <Verdict label={t("human")} result={asResult(present)} /> : null;
  return (
    <Stack spacing={1} component="section" aria-label={t("decide")}>
      <Typography variant="h6" component="h2">
        {t("decide")}
      </Typography>
      {present && <Verdict label={t("decided")} result={asResult(present)} />}
      <ProblemAlert error={decide.error} />
      <Stack direction="row" spacing={1}>
        {FINALS.map(([result, key, color]) => (
          <Button
            key={result}
            variant={chosen === null || chosen === result ? "contained" : "outlined"}
            color={color}
            aria-pressed={chosen === result}
            disabled={decide.isPending || (result === "OK" && Boolean(props.okRefused))}
            onClick={() => choose(result)}
            startIcon={<VerdictMark result={result} />}
            data-testid={`decide-${result}`}
            sx={{ flex: 1, minHeight: 72, fontSize: "1.2rem" }}
          >
            {t(`verdict.${result}`)} <Kbd>{key}</Kbd>
          </Button>
        ))}
      </Stack>
      {props.okRefused && <Typography>{t(props.okRefused)}</Typography>}
      {chosen !== null && (
        <Why
          key={chosen}
          marking={props.marking}
          isBusy={decide.isPending}
          onBack={() => setChosen(null)}
          onGive={(why) => decide.send({ final_result: chosen, ...why })}
        />
      )}
    </Stack>
  );
}

interface Reasoned {
  reason_code: string;
  notes: string | null;
}

/** Reason, note and place of an NG or HOLD; number keys choose the reason. */
function Why(props: {
  marking?: Marking;
  isBusy: boolean;
  onGive: (why: Reasoned) => void;
  onBack: () => void;
}) {
  const { t, language } = useWords();
  const offered = useQuery(reasons).data?.reasons ?? [];
  const [reason, setReason] = useState<string | null>(null);
  const [notes, setNotes] = useState("");
  const give = () => reason && props.onGive({ reason_code: reason, notes: notes.trim() || null });
  useShortcuts(
    Object.fromEntries(offered.slice(0, 9).map((one, at) => [String(at + 1), () => setReason(one.code)])),
  );
  return (
    <Stack
      spacing={1}
      component="form"
      onSubmit={(event) => {
        event.preventDefault();
        give();
      }}
    >
      <Typography component="h3" sx={{ fontWeight: 600 }}>
        {t("reason")}
      </Typography>
      <Stack
        direction="row"
        spacing={1}
        useFlexGap
        sx={{ flexWrap: "wrap" }}
        role="group"
        aria-label={t("reason")}
      >
        {offered.map((one, at) => (
          <Button
            key={one.code}
            variant={reason === one.code ? "contained" : "outlined"}
            aria-pressed={reason === one.code}
            autoFocus={at === 0}
            onClick={() => setReason(one.code)}
            data-reason={one.code}
          >
            {one[language]} {at < 9 && <Kbd>{String(at + 1)}</Kbd>}
          </Button>
        ))}
      </Stack>
      {props.marking && <Marks {...props.marking} />}
      <TextField
        label={t("notes")}
        value={notes}
        onChange={(event) => setNotes(event.target.value)}
        multiline
      />
      <Stack direction="row" spacing={1}>
        <Button
          type="submit"
          variant="contained"
          size="large"
          disabled={reason === null}
          loading={props.isBusy}
          sx={{ flexGrow: 1 }}
          data-testid="give"
        >
          {t("decide.give")}
        </Button>
        <Button onClick={props.onBack}>{t("back")}</Button>
      </Stack>
    </Stack>
  );
}

function Marks({ region, setRegion, isMarking, setIsMarking, boxes }: Marking) {
  const { t } = useWords();
  const [box] = boxes;
  return (
    <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap", alignItems: "center" }}>
      <Button
        variant={isMarking ? "contained" : "outlined"}
        aria-pressed={isMarking}
        onClick={() => setIsMarking(!isMarking)}
      >
        {t(isMarking ? "mark.drag" : "mark")}
      </Button>
      {box && <Button onClick={() => setRegion(box)}>{t("mark.ai")}</Button>}
      {region && <Button onClick={() => setRegion(null)}>{t("mark.remove")}</Button>}
    </Stack>
  );
}
