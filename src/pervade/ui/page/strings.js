// What the page says, in English and Chinese. What a run says of itself comes from the run, as it is.

const STRINGS = {
  "a-picture": ["picture", "图片"],
  "a-sound": ["recording", "录音"],
  "acted": ["steps of the environment", "环境步数"],
  "after": ["Next", "下一页"],
  "all-rows": ["all ({number})", "全部（{number}）"],
  "any": ["any", "任意"],
  "as-they-stand": ["as they stand", "原有顺序"],
  "at-least": ["At least", "不低于"],
  "at-most": ["At most", "不高于"],
  "at-step": ["step {step}", "第 {step} 步"],
  "back": ["Back", "返回"],
  "beats": ["Better than its baseline", "优于基线"],
  "before": ["Previous", "上一页"],
  "begun": ["Begun", "开始"],
  "card": ["Model card", "模型卡"],
  "choose": ["Choose", "选择"],
  "choose-one": ["choose …", "选择……"],
  "choose-run": ["choose {run} to compare", "选择 {run} 进行比较"],
  "choose-two": ["Choose two runs that were evaluated on the same rows.", "请选择在相同样本上评估过的两个运行。"],
  "clear": ["Clear", "清除"],
  "cleared": ["No run is chosen.", "未选择任何运行。"],
  "common-rows": ["only the rows that both have", "仅比较共有的样本"],
  "compare": ["Compare two runs", "比较两个运行"],
  "compare-lead": ["Is one better, by how much, and how sure is that? On the same rows, by paired tests.", "哪个更好、好多少、有多确定？在相同样本上做配对检验。"],
  "curves": ["How training goes", "训练曲线"],
  "data": ["Data", "数据"],
  "detected": ["detected", "自动识别"],
  "difference": ["Difference", "差值"],
  "done": ["{share}% · step {step} of {total}", "{share}% · 第 {step} / {total} 步"],
  "ended-badly": ["ended with status {status}", "以状态 {status} 结束"],
  "ended-stopped": ["stopped", "已停止"],
  "ended-well": ["done", "完成"],
  "facts": ["What it is", "概况"],
  "farthest": ["farthest off first", "误差最大的在前"],
  "field-batch_size": ["Batch size", "批大小"],
  "field-data": ["Data: a folder, a table, hf://… or gym://…", "数据：文件夹、表格、hf://… 或 gym://…"],
  "field-epochs": ["Epochs", "轮数"],
  "field-init": ["First weights", "初始权重"],
  "field-label_column": ["Label column", "标签列"],
  "field-lr": ["Learning rate", "学习率"],
  "field-model": ["Model", "模型"],
  "field-name": ["Name of the run", "运行名称"],
  "field-seed": ["Seed", "随机种子"],
  "field-settings": ["Further settings", "其他设置"],
  "field-task": ["Task", "任务"],
  "field-time_limit": ["Time limit", "时间限制"],
  "figure": ["Figure", "指标"],
  "figures": ["Figures", "指标"],
  "file": ["Checkpoint and split", "检查点与划分"],
  "filter": ["Which runs", "筛选运行"],
  "find": ["Find", "查找"],
  "find-hint": ["name, task, model, data", "名称、任务、模型、数据"],
  "first": ["First run", "第一个运行"],
  "folder": ["Folder", "文件夹"],
  "from-folder": ["A path is looked up from", "相对路径的起点："],
  "from-to": ["in training from {first} to {last}", "训练中从 {first} 到 {last}"],
  "go": ["Go on", "继续"],
  "go-on": ["Go on with", "继续训练："],
  "headline": ["each run's first", "各运行的首要指标"],
  "inside": ["Runs inside", "包含的运行"],
  "interval": ["95% interval", "95% 区间"],
  "is-at-work": ["at work", "处理中"],
  "is-damaged": ["damaged", "已损坏"],
  "is-finished": ["finished", "已完成"],
  "is-right": ["right", "正确"],
  "is-unfinished": ["unfinished", "未完成"],
  "is-working": ["training", "训练中"],
  "is-wrong": ["wrong", "错误"],
  "judged-from-to": ["in validation from {first} to {last}", "验证中从 {first} 到 {last}"],
  "largest": ["{name}, largest first", "{name} 从大到小"],
  "least-sure": ["least sure first", "最不确定的在前"],
  "left": ["{time} left", "剩余 {time}"],
  "left-unknown": ["time left: not known yet", "剩余时间未知"],
  "lower": ["lower is better", "越低越好"],
  "made-up": ["made from data and model", "由数据和模型生成"],
  "many-inside": ["{number} runs inside", "包含 {number} 个运行"],
  "measured": ["Measured on", "评估于"],
  "model": ["Model", "模型"],
  "more": ["More settings", "更多设置"],
  "nav-compare": ["Compare", "比较"],
  "nav-list": ["Runs", "运行"],
  "nav-train": ["Start a training", "开始训练"],
  "nearest": ["nearest first", "误差最小的在前"],
  "no": ["No", "否"],
  "no-rows": ["No row fits.", "没有符合条件的样本。"],
  "none-fit": ["No run fits what is asked for above.", "没有符合条件的运行。"],
  "none-yet": ["No run yet. Start a training, and it appears here.", "还没有运行。开始一次训练，它就会出现在这里。"],
  "not-logged-yet": ["Nothing is logged yet; it appears here as it comes.", "尚无记录；有了就会显示在这里。"],
  "not-shown": ["not shown", "未证实"],
  "nothing-logged": ["Nothing was logged.", "没有记录。"],
  "of-classes": ["Of single classes", "单个类别"],
  "of-run": ["Of", "运行"],
  "off-by": ["off by {number}", "相差 {number}"],
  "one-chosen": ["{first} is chosen; choose another to compare them.", "已选择 {first}；再选一个即可比较。"],
  "one-inside": ["1 run inside", "包含 1 个运行"],
  "order": ["Order", "顺序"],
  "output": ["What it says", "输出"],
  "passes": ["passes over the training data", "训练数据的遍数"],
  "predictions": ["Predictions", "预测"],
  "progress": ["How far it is", "进度"],
  "report": ["Report", "报告"],
  "right-rows": ["right ones ({number})", "正确的（{number}）"],
  "row": ["Row", "样本"],
  "rows-of": ["{from} to {to} of {number}", "第 {from} 至 {to} 个，共 {number} 个"],
  "run": ["Run", "运行"],
  "runs": ["Runs", "运行"],
  "runs-this": ["It runs", "将要执行"],
  "said": ["Said", "回答"],
  "second": ["Second run", "第二个运行"],
  "setting": ["Setting", "设置"],
  "settings": ["Set differently", "不同的设置"],
  "show": ["Show", "显示"],
  "smallest": ["{name}, smallest first", "{name} 从小到大"],
  "so-many": ["{number} in all", "共 {number} 个"],
  "spectrogram": ["spectrogram", "频谱图"],
  "split": ["Split", "划分"],
  "start": ["Start", "开始"],
  "started": ["Started here", "在此启动"],
  "state": ["State", "状态"],
  "step": ["step", "步"],
  "steps": ["steps", "步数"],
  "stop": ["Stop and save", "停止并保存"],
  "stop-sure": ["Stop it? It saves, and can go on later.", "停止吗？会先保存，之后可以继续。"],
  "stop-yes": ["Stop", "停止"],
  "stopping": ["It saves and stops; that may take a moment.", "正在保存并停止，请稍候。"],
  "suits": ["what suits the data", "适合数据的模型"],
  "sure": ["{share} sure", "确定度 {share}"],
  "surest": ["surest first", "最确定的在前"],
  "task": ["Task", "任务"],
  "time": ["Time", "用时"],
  "token": ["Token", "令牌"],
  "token-wanted": ["This takes the token that was printed when the page was started. It stays in this page's memory.", "此操作需要启动页面时打印的令牌。令牌只保存在本页面的内存中。"],
  "train": ["Start a training", "开始训练"],
  "train-lead": ["From data to a trained, measured, reported model. The form makes one command, and that is what runs.", "从数据到训练好、评估过、有报告的模型。表单生成一条命令，执行的就是它。"],
  "training": ["training", "训练"],
  "true": ["Is", "实际"],
  "two-chosen": ["{first} and {second}", "{first} 与 {second}"],
  "unreachable": ["The server does not answer.", "服务器没有响应。"],
  "validation": ["validation", "验证"],
  "value": ["Value", "值"],
  "views": ["Views", "视图"],
  "was-started": ["Started: {command}", "已启动：{command}"],
  "watch-it": ["Watch it", "查看"],
  "whole-page": ["Open the whole page", "打开完整页面"],
  "with-weights": ["{model}, {number} weights", "{model}，{number} 个权重"],
  "works": ["Process {process} works on it (pervade {verb}).", "进程 {process} 正在处理（pervade {verb}）。"],
  "wrong-rows": ["wrong ones ({number})", "错误的（{number}）"],
  "yes": ["yes", "是"],
};

export const LANGUAGES = [["en", "English"], ["zh", "中文"]];
export let language = navigator.languages?.find((tag) => /^(en|zh)\b/.test(tag))?.slice(0, 2) ?? "en";

export function speak(chosen) {
  language = chosen;
}

export function t(name, values = {}) {
  return STRINGS[name][language === "zh" ? 1 : 0].replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

export function share(value) {
  const text = `${(100 * value).toFixed(1)}%`;
  return value < 1 && text === "100.0%" ? "> 99.9%" : text;
}

export const number = (value) => Number(value.toPrecision(12)).toLocaleString(language, Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });

export function duration(seconds) {
  const all = Math.max(Math.round(seconds), 0), [h, min, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const unit = (count, name) => new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short" }).format(count);
  if (all < 60) return unit(s, "second");
  return h ? `${unit(h, "hour")} ${unit(min, "minute")}` : `${unit(min, "minute")} ${unit(s, "second")}`;
}

// How long ago, in the largest unit that fits.
export function age(when) {
  const seconds = when - Date.now() / 1000, form = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return form.format(Math.round(seconds / size), unit);
  }
  return form.format(0, "second");
}
