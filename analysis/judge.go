package analysis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// outcome is what one measurement is.
type outcome int

const (
	outcomeSuccess outcome = iota
	outcomeFailure
	outcomeInconclusive
	outcomeNoData
	outcomeError
	// outcomeNothing is a step of measuring that is none of these.
	outcomeNothing
)

// judgement is a measurement with what is said about it.
type judgement struct {
	outcome outcome
	reason  Reason
	value   string
	message string
}

const (
	maxValueLength     = 256
	maxConditionInText = 96
	maxValueInText     = 64
)

// judge judges a sample by the policies and conditions of its metric.
func judge(m *v1alpha1.Metric, sample Sample, err error) judgement {
	if err != nil {
		return failedToMeasure(ReasonOf(err), "", errorText(err))
	}
	value := formatValues(sample.Series)
	if n := len(sample.Warnings); n > 0 && m.Warnings != v1alpha1.WarningIgnore {
		return failedToMeasure(ReasonWarnings, value, fmt.Sprintf("the result has warnings (%d)", n))
	}
	switch n := len(sample.Series); {
	case n == 0:
		return judgement{outcome: outcomeNoData, reason: ReasonNoData, message: "no data"}
	case n > 1 && m.Series != v1alpha1.SeriesAll && m.Series != v1alpha1.SeriesAny:
		return failedToMeasure(ReasonSeveralSeries, value, fmt.Sprintf("the result has %d series", n))
	}
	c, err := conditionsOf(m)
	if err != nil {
		return failedToMeasure(ReasonCondition, value, "a condition does not compile")
	}
	if len(sample.Series) == 1 {
		j := c.judge(m, sample.Series[0].Value)
		j.value = value
		return j
	}
	return c.judgeSeveral(m, sample.Series, value)
}

func failedToMeasure(r Reason, value, message string) judgement {
	return judgement{outcome: outcomeError, reason: r, value: value, message: message}
}

// errorText is a fixed sentence: an error of another type may carry anything.
func errorText(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return ReasonOf(err).Sentence()
}

// conditionPair is a metric's conditions; either may be nil, not both.
type conditionPair struct {
	success, fail *Condition
}

func conditionsOf(m *v1alpha1.Metric) (conditionPair, error) {
	var c conditionPair
	var err error
	if m.SuccessWhen != "" {
		if c.success, err = Compile(m.SuccessWhen); err != nil {
			return c, err
		}
	}
	if m.FailWhen != "" {
		if c.fail, err = Compile(m.FailWhen); err != nil {
			return c, err
		}
	}
	if c.success == nil && c.fail == nil {
		return c, &Error{Reason: ReasonCondition}
	}
	return c, nil
}

// judge judges one value.
func (c conditionPair) judge(m *v1alpha1.Metric, value float64) judgement {
	if j, decided := judgeNonFinite(m, value); decided {
		return j
	}
	text := shorten(formatValue(value), maxValueInText)
	for _, rule := range []struct {
		condition *Condition
		expr      string
		outcome   outcome
		verb      string
	}{
		{c.fail, m.FailWhen, outcomeFailure, "meets failWhen"},
		{c.success, m.SuccessWhen, outcomeSuccess, "meets successWhen"},
	} {
		if rule.condition == nil {
			continue
		}
		holds, err := rule.condition.Holds(value)
		if err != nil {
			return failedToMeasure(ReasonCondition, "", "a condition could not be evaluated for value "+text)
		}
		if holds {
			return judgement{outcome: rule.outcome, message: say(text, rule.verb, rule.expr)}
		}
	}
	switch {
	case c.fail == nil:
		return judgement{outcome: outcomeFailure, message: say(text, "does not meet successWhen", m.SuccessWhen)}
	case c.success == nil:
		return judgement{outcome: outcomeSuccess, message: say(text, "does not meet failWhen", m.FailWhen)}
	default:
		return judgement{
			outcome: outcomeInconclusive,
			message: say(text, "meets neither successWhen", m.SuccessWhen) +
				" nor failWhen " + shorten(m.FailWhen, maxConditionInText),
		}
	}
}

func say(value, verb, condition string) string {
	return "value " + value + " " + verb + " " + shorten(condition, maxConditionInText)
}

// judgeNonFinite keeps NaN and infinite values from the conditions, in which they
// compare as anything but what an author expects, unless the metric asks for them.
func judgeNonFinite(m *v1alpha1.Metric, value float64) (judgement, bool) {
	nan, inf := math.IsNaN(value), math.IsInf(value, 0)
	switch {
	case !nan && !inf, m.NonFinite == v1alpha1.NonFiniteEvaluate:
		return judgement{}, false
	case nan && m.NonFinite != v1alpha1.NonFiniteError:
		return judgement{outcome: outcomeNoData, reason: ReasonNoData, message: "no data (the value is NaN)"}, true
	default:
		return failedToMeasure(ReasonNonFinite, "", "value "+formatValue(value)+" is not finite"), true
	}
}

// judgeSeveral judges each series and puts the outcomes together.
//
// All: one failure fails; else one error is an error; else one series without data
// makes it no data; else one inconclusive makes it inconclusive.
// Any: one success is enough; it fails when all fail; else one error is an error;
// it is without data when all are; else it is inconclusive.
func (c conditionPair) judgeSeveral(m *v1alpha1.Metric, series []Series, value string) judgement {
	var counts [outcomeError + 1]int
	var first [outcomeError + 1]judgement
	for _, s := range series {
		j := c.judge(m, s.Value)
		if counts[j.outcome] == 0 {
			first[j.outcome] = j
		}
		counts[j.outcome]++
	}
	o := combineAll(counts)
	if m.Series == v1alpha1.SeriesAny {
		o = combineAny(counts, len(series))
	}
	j := first[o]
	if counts[o] == 0 {
		j.message = "no value succeeds and not all fail"
	}
	j.outcome = o
	j.value = value
	j.message = fmt.Sprintf("%d of %d series: %s", counts[o], len(series), j.message)
	return j
}

func combineAll(counts [outcomeError + 1]int) outcome {
	for _, o := range []outcome{outcomeFailure, outcomeError, outcomeNoData, outcomeInconclusive} {
		if counts[o] > 0 {
			return o
		}
	}
	return outcomeSuccess
}

func combineAny(counts [outcomeError + 1]int, n int) outcome {
	switch {
	case counts[outcomeSuccess] > 0:
		return outcomeSuccess
	case counts[outcomeFailure] == n:
		return outcomeFailure
	case counts[outcomeError] > 0:
		return outcomeError
	case counts[outcomeNoData] == n:
		return outcomeNoData
	default:
		return outcomeInconclusive
	}
}

func formatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// formatValues joins values with commas, as many as the evidence has room for.
func formatValues(series []Series) string {
	var b strings.Builder
	for i, s := range series {
		text := formatValue(s.Value)
		if i > 0 {
			text = "," + text
		}
		if b.Len()+len(text)+len(",…") > maxValueLength {
			b.WriteString(",…")
			break
		}
		b.WriteString(text)
	}
	return b.String()
}
