import Card from "@mui/material/Card";
import Stack from "@mui/material/Stack";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import Typography from "@mui/material/Typography";
import { useState } from "react";
import { useWords } from "../i18n";
import { Decision } from "./Decision";
import type { Judged } from "./decide";

export interface Check {
  key: string;
  label: string;
  expect: boolean | number | string;
}

export const checksOf = (criteria: Record<string, unknown>): Check[] => (criteria["checks"] as Check[]) ?? [];

/** Which checks are not as they should be, of those answered; unanswered ones are among them. */
export const unmet = (checks: readonly Check[], answers: Record<string, boolean>): Check[] =>
  checks.filter((check) => answers[check.key] !== check.expect);

/** What a person tries out and answers: every check yes or no, then the verdict. */
export function Checklist(props: Judged) {
  const { t, name } = useWords();
  const checks = checksOf(props.item.item.criteria);
  const [answers, setAnswers] = useState<Record<string, boolean>>({});
  return (
    <Stack spacing={2}>
      {checks.map((check, at) => (
        <Card key={check.key} variant="outlined" sx={{ p: 2 }}>
          <Stack direction="row" spacing={2} useFlexGap sx={{ alignItems: "center", flexWrap: "wrap" }}>
            <Typography id={`check-${check.key}`} sx={{ flexGrow: 1, fontSize: "1.2rem" }}>
              {name(check.label)}
            </Typography>
            <ToggleButtonGroup
              exclusive
              size="large"
              value={answers[check.key] ?? null}
              onChange={(_event, answer: boolean | null) =>
                answer !== null && setAnswers({ ...answers, [check.key]: answer })
              }
              aria-labelledby={`check-${check.key}`}
            >
              <ToggleButton
                value={true}
                autoFocus={at === 0}
                data-testid={`yes-${check.key}`}
                sx={{ minWidth: 96 }}
              >
                {t("yes")}
              </ToggleButton>
              <ToggleButton value={false} data-testid={`no-${check.key}`} sx={{ minWidth: 96 }}>
                {t("no")}
              </ToggleButton>
            </ToggleButtonGroup>
          </Stack>
        </Card>
      ))}
      <Decision
        {...props}
        imageId={null}
        hasSeenAi={false}
        checks={answers}
        okRefused={unmet(checks, answers).length > 0 ? "checks.unmet" : null}
      />
    </Stack>
  );
}
