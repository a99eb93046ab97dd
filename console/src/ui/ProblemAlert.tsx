import Alert from "@mui/material/Alert";
import AlertTitle from "@mui/material/AlertTitle";
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import { asProblem, type Problem, UNREACHABLE } from "../api/problems";
import { useWords, type Words } from "../i18n";

/** An error with what to do about it, and a way on. */
export function ProblemAlert(props: { error: unknown; onRetry?: () => void; onClose?: () => void }) {
  const words = useWords();
  if (props.error === null || props.error === undefined) return null;
  const problem = asProblem(props.error);
  const { title, hint } = told(problem, words);
  const again = props.onRetry && <Button onClick={props.onRetry}>{words.t("retry")}</Button>;
  return (
    <Alert severity="error" role="alert" action={again} onClose={props.onClose} data-code={problem.code}>
      <AlertTitle>{title}</AlertTitle>
      <Typography>{hint}</Typography>
      {problem.message && (
        <Typography variant="body2" color="textSecondary" lang="en">
          {problem.message} ({problem.code})
        </Typography>
      )}
    </Alert>
  );
}

function told(problem: Problem, { t }: Words): { title: string; hint: string } {
  if (problem.code === UNREACHABLE) return { title: t("unreachable"), hint: t("unreachable.hint") };
  if (problem.title) return problem;
  return { title: t("failed"), hint: t("failed.hint") };
}
