import Typography from "@mui/material/Typography";
import { useTheme } from "@mui/material/styles";
import { useWords } from "../i18n";
import { VerdictMark } from "../ui/Verdict";
import { digitsFor, type Tolerance } from "./result";

const [WIDTH, HEIGHT] = [300, 44];

/** A measured value against its limits, drawn and in words. */
export function ToleranceBar({ tolerance, value }: { tolerance: Tolerance; value: number }) {
  const { t, number } = useWords();
  const { palette } = useTheme();
  const { lower, upper, guard, nominal, unit } = tolerance;
  const width = upper - lower;
  const [first, last] = [Math.min(lower - width / 3, value), Math.max(upper + width / 3, value)];
  const at = (where: number) => (WIDTH * (where - first)) / (last - first || 1);
  const digits = digitsFor(tolerance);
  const show = (one: number) => number(one, digits);
  const isInside = value >= lower && value <= upper;
  return (
    <div>
      <Typography variant="h6" component="p" data-testid="measured">
        {show(value)} {unit} <VerdictMark result={isInside ? "OK" : "NG"} />
      </Typography>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        width="100%"
        height={HEIGHT}
        preserveAspectRatio="none"
        aria-hidden
      >
        <rect x={0} y={14} width={WIDTH} height={16} fill={palette.error.light} />
        <rect x={at(lower)} y={14} width={at(upper) - at(lower)} height={16} fill="#ffcc80" />
        <rect
          x={at(lower + guard)}
          y={14}
          width={Math.max(0, at(upper - guard) - at(lower + guard))}
          height={16}
          fill="#81c784"
        />
        <line x1={at(nominal)} x2={at(nominal)} y1={14} y2={30} stroke="#1b5e20" strokeDasharray="3 2" />
        <line x1={at(value)} x2={at(value)} y1={4} y2={40} stroke="#000" strokeWidth="3" />
      </svg>
      <Typography variant="body2">
        {t("tolerance", { nominal: show(nominal), lower: show(lower), upper: show(upper), unit })}
      </Typography>
    </div>
  );
}
