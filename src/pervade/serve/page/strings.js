// What the page says, in English and Chinese. What a model says of itself comes from the model, as it is.

const STRINGS = {
  "any-label": ["any", "任意"],
  "action": ["action {number}", "动作 {number}"],
  "anew": ["New conversation", "新对话"],
  "answer": ["Answer", "回答"],
  "answers": ["Answers", "回答"],
  "begin-here": ["Begin a text, and the model goes on …", "写一个开头，模型会接着写……"],
  "chances": ["Chance of every action", "每个动作的概率"],
  "chat-keys": ["Enter sends, Shift + Enter begins a new line", "Enter 发送，Shift + Enter 换行"],
  "choose-file": ["Choose files", "选择文件"],
  "choose-picture": ["Choose pictures", "选择图片"],
  "choose-sound": ["Choose recordings", "选择录音"],
  "clear": ["Clear", "清空"],
  "compared": ["Compared with each other", "相互比较"],
  "conversation": ["Conversation", "对话"],
  "copied": ["Copied", "已复制"],
  "copy": ["Copy", "复制"],
  "cut-short": ["It was cut at the length that is set.", "已在设定的长度处截断。"],
  "different": ["different", "不同"],
  "doubtful": ["Underlined words may be misheard.", "带下划线的词可能听错了。"],
  "draws-nothing": ["The environment draws nothing, so there is nothing to watch.", "该环境不绘制画面，因此没有可看的内容。"],
  "drop-file": ["Drop files here, or", "把文件拖到这里，或者"],
  "drop-picture": ["Drop or paste pictures here, or", "把图片拖放或粘贴到这里，或者"],
  "drop-sound": ["Drop recordings here, or", "把录音拖到这里，或者"],
  "each-line": ["Each line is a text of its own", "每行是一段独立的文本"],
  "empty-set": ["none", "无"],
  "episode": ["Seed {seed}: {steps} steps, return {total}.", "种子 {seed}：{steps} 步，回报 {total}。"],
  "episode-cut": ["Seed {seed}: {steps} steps, return {total} so far; it was not over then.", "种子 {seed}：{steps} 步，目前回报 {total}；当时尚未结束。"],
  "error-bound": ["At most {share} of its words are wrong; that holds {of} times of 100.", "其中最多 {share} 的词有误；每 100 次中有 {of} 次如此。"],
  "from-a-program": ["Use it from a program", "在程序中使用"],
  "gap": ["Gap {number}", "空缺 {number}"],
  "how-many": ["How many", "数量"],
  "keys": ["Ctrl + Enter", "Ctrl + Enter"],
  "its-label": ["class", "类别"],
  "its-seed": ["seed", "种子"],
  "likeliest": ["Likeliest:", "最可能是："],
  "made-picture": ["Picture made by the model ({told})", "模型生成的图片（{told}）"],
  "make": ["Make", "生成"],
  "max-tokens": ["Tokens at most", "最多词元数"],
  "means": ["Action it means to take", "打算采取的动作"],
  "microphone-refused": ["The microphone was refused", "麦克风被拒绝"],
  "missing-field": ["“{field}” is still empty.", "“{field}”还是空的。"],
  "model": ["Model", "模型"],
  "more-in-docs": ["Everything that the server answers:", "服务器的全部接口："],
  "needs-https": ["Browsers record only over https, or on this machine", "浏览器只在 https 或本机上允许录音"],
  "nearest": ["Most like it, of those it knows", "在已知的样本中最相似的"],
  "next-seed": ["Next seed", "下一个种子"],
  "no-answer": ["No answer", "没有答案"],
  "no-label": ["No label", "没有标签"],
  "no-microphone": ["There is no microphone", "没有麦克风"],
  "no-models": ["No model is served here.", "这里没有提供任何模型。"],
  "no-preview": ["no preview", "无法预览"],
  "no-recording": ["Nothing was recorded", "没有录到声音"],
  "nobody": ["None of those it knows", "不是已知的任何一个"],
  "none": ["none", "无"],
  "not-sure": ["I am not sure", "我不确定"],
  "nothing-heard": ["(nothing was understood)", "（没有听懂任何内容）"],
  "nothing-written": ["Write a text first.", "请先写一段文本。"],
  "open": ["Open", "打开"],
  "pause": ["Pause", "暂停"],
  "photograph": ["Take a photo", "拍照"],
  "play": ["Play", "播放"],
  "playing": ["Playing …", "正在进行……"],
  "promised": ["What is promised of its answers", "对回答的承诺"],
  "range": ["Between {low} and {high}; the true number is, {of} times of 100.", "在 {low} 与 {high} 之间；每 100 次中真实值有 {of} 次落在其中。"],
  "reads": ["This model reads {what}.", "此模型读取：{what}。"],
  "ready": ["Done", "完成"],
  "record": ["Record", "录音"],
  "recording": ["Recording", "正在录音"],
  "same": ["same", "相同"],
  "same-from": ["same from {threshold} on", "达到 {threshold} 即视为相同"],
  "save": ["Save", "保存"],
  "say-something": ["Say something …", "说点什么……"],
  "seed": ["Seed", "种子"],
  "selected": ["Selected: copy it with Ctrl + C", "已选中：请按 Ctrl + C 复制"],
  "send": ["Send", "发送"],
  "set": ["The truth is in this set, {of} times of 100:", "每 100 次中有 {of} 次真值在此集合中："],
  "settings": ["Settings", "设置"],
  "similarity": ["similarity", "相似度"],
  "sound": ["sound", "声音"],
  "speed": ["{tokens} tokens, {rate} a second.", "{tokens} 个词元，每秒 {rate} 个。"],
  "step": ["Step", "步"],
  "step-of": ["step {step} of {steps}", "第 {step} / {steps} 步"],
  "stop": ["Stop", "停止"],
  "stop-at": ["Stop ({time})", "停止（{time}）"],
  "stopped": ["Stopped.", "已停止。"],
  "temperature": ["Temperature", "温度"],
  "text-here": ["Type or paste a text …", "输入或粘贴一段文本……"],
  "token": ["Token", "令牌"],
  "token-wanted": ["This server asks for a token. It stays in this page's memory and is gone when you close it.", "此服务器需要令牌。令牌只保存在本页面的内存中，关闭页面即消失。"],
  "trust": ["Right on {right} of 100 answers as sure as this.", "如此确定的回答，每 100 个中有 {right} 个正确。"],
  "trust-few": ["Too few test rows ({n}) were answered as surely as this to say how often that is right.", "如此确定的测试样本太少（{n} 个），无法说明正确率。"],
  "trust-of": ["({low} to {high}; {n} test rows)", "（{low} 至 {high}；{n} 个测试样本）"],
  "unreachable": ["The server does not answer.", "服务器没有响应。"],
  "values": ["Value of every action", "每个动作的价值"],
  "watch": ["Watch an episode", "观看一个回合"],
  "withheld": ["It answers only where it is sure enough to keep what was promised.", "只有足够确定、能信守承诺时，它才回答。"],
  "word-confidence": ["Share of its words that should be right: {share}.", "预计正确的词所占比例：{share}。"],
  "write-on": ["Write on", "续写"],
  "you": ["You", "你"],
  "your-message": ["Your message", "你的消息"],
};

export const LANGUAGES = [["en", "English"], ["zh", "中文"]];
export let language = navigator.languages?.find((tag) => /^(en|zh)\b/.test(tag))?.slice(0, 2) ?? "en";

export function speak(chosen) {
  language = chosen;
}

export function t(name, values = {}) {
  const text = STRINGS[name][language === "zh" ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

export function share(value) {
  const digits = Math.abs(value) < 0.1 || value > 0.9 ? 1 : 0;
  const text = `${(100 * value).toFixed(digits)}%`;
  if (value < 1 && text === "100.0%") return "> 99.9%";
  return value > 0 && text === "0.0%" ? "< 0.1%" : text;
}

export const number = (value) => (Number.isInteger(value) ? value.toLocaleString(language) : Number(value.toPrecision(5)).toLocaleString(language, { maximumSignificantDigits: 5 }));
